"""`topup show`: one topup as it is."""

import asyncio
import os
import re
import sys
from typing import Annotated

from cyclopts import Parameter

from ops.errors import CommandFailed

_EXAMPLE = "for example: topup show 0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def show(
    topup_id: Annotated[str, Parameter(name="ID")],
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Show one topup as it is: its record in Redis, its outcomes and postings in the books.

    Args:
        topup_id: The id that the merchant was given.
        as_json: The same for programs.
    """
    wanted = topup_id.strip().lower()
    if not _ID.fullmatch(wanted):
        raise CommandFailed(f"{topup_id[:64]!r} is not the id of a topup; {_EXAMPLE}", status=2)
    from ops.connections import check_addresses, environment_here
    from ops.screens.sight import see
    from ops.screens.topup import as_json as to_json
    from ops.screens.topup import as_text
    from ops.zone import timezone_of
    from shared.runtime.clock import SystemClock

    environ = environment_here(os.environ, needed=("REDIS_URL", "DATABASE_URL"))
    check_addresses(environ)
    timezone = timezone_of(environ)
    sight = asyncio.run(see(wanted, SystemClock()))
    why = "; ".join(sight.unknown.values())
    if sight.found is None and sight.booked is None:
        if why:
            raise CommandFailed(f"{wanted} was not found, but not all could be asked: {why}")
        raise CommandFailed(
            f"there is no topup {wanted}, neither in Redis nor in the books; {_EXAMPLE}", status=2
        )
    sys.stdout.write(to_json(sight) if as_json else as_text(sight, timezone=timezone))
    sys.stdout.flush()
    if why:
        raise CommandFailed(f"not all could be asked: {why}")
    return 0
