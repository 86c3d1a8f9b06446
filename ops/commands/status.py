"""`topup status`: the whole system on one screen."""

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ops.errors import CommandFailed

if TYPE_CHECKING:
    from ops.screens.figures import Figures

_EACH_S = 2.0


def status(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    watch: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Show queue, lanes, sales, limbo and instances; status 1 where a part is unknown.

    Args:
        as_json: The same for programs.
        watch: Look again every two seconds, until Ctrl-C.
    """
    from ops.connections import check_addresses, environment_here
    from ops.screens.status import as_json as to_json
    from ops.screens.status import as_text
    from ops.zone import timezone_of

    if watch and (as_json or not sys.stdout.isatty()):
        raise CommandFailed(
            "--watch needs a terminal, and no --json; for example: topup status --watch", status=2
        )
    environ = environment_here(os.environ, needed=("REDIS_URL", "DATABASE_URL"))
    check_addresses(environ)
    timezone = timezone_of(environ)
    if watch:
        _watch(timezone)
    figures = _look(timezone)
    sys.stdout.write(to_json(figures) if as_json else as_text(figures))
    sys.stdout.flush()
    if figures.unknown:
        raise CommandFailed("\ntopup: ".join(figures.unknown.values()))
    return 0


def _look(timezone: str) -> "Figures":
    from ops.screens.figures import look
    from shared.runtime.clock import SystemClock

    return asyncio.run(look(SystemClock(), timezone=timezone))


def _watch(timezone: str) -> None:
    from rich.live import Live
    from rich.text import Text

    from ops.screens.status import as_text

    with Live(auto_refresh=False, screen=True) as live:
        while True:
            figures = _look(timezone)
            why = "\n".join(figures.unknown.values())
            live.update(Text(f"{as_text(figures)}\n{why}"), refresh=True)
            time.sleep(_EACH_S)
