"""`topup logs`: what the replicas and servers of this machine wrote."""

import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ops.errors import CommandFailed

_LOOK_S = 0.2
_LINES_MAX = 100_000


def logs(
    which: str | None = None,
    /,
    *,
    tail: str = "20",
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative=())] = False,
) -> None:
    """Show the last lines of each log, and with --follow whatever is added.

    Args:
        which: A service or the id of one replica, for example dispatcher or gateway-2; else all.
        tail: How many lines of each.
        follow: Go on until Ctrl-C.
    """
    from ops.supervisor.folder import data_folder
    from ops.supervisor.tails import last_lines

    lines_max = _count(tail)
    folder = data_folder(os.environ).logs
    seen = {log: log.stat().st_size for log in _find(folder, which)}
    for log, size in seen.items():
        _write(log, last_lines(log, lines_max, before=size), alone=len(seen) == 1)
    if follow:
        _follow(folder, which, seen)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 <= int(text) <= _LINES_MAX:
        raise CommandFailed(
            f"--tail {text[:32]!r} is not a count from 0 to {_LINES_MAX}; "
            "for example: topup logs dispatcher --tail 50",
            status=2,
        )
    return int(text)


def _find(folder: Path, which: str | None) -> list[Path]:
    everything = sorted(folder.glob("*.log"), key=lambda log: (len(log.stem), log.stem))
    if not everything:
        raise CommandFailed("there are no logs here; start with: make run")
    found = [log for log in sorted(everything) if _is(which, log.stem)]
    if not found:
        names = ", ".join(sorted({re.sub(r"-\d+$", "", log.stem) for log in everything}))
        raise CommandFailed(
            f"nothing here is called {which!r}, only {names}; for example: topup logs gateway-2",
            status=2,
        )
    return found


def _is(which: str | None, instance: str) -> bool:
    return which is None or re.fullmatch(rf"{re.escape(which)}(-\d+)?", instance) is not None


def _follow(folder: Path, which: str | None, seen: dict[Path, int]) -> None:
    """Look again and again: replicas come and go, and logs are emptied when they grow too long."""
    while True:
        for log in _find(folder, which):
            size, start = log.stat().st_size, seen.get(log, 0)
            start = 0 if size < start else start
            if size > start:
                with log.open("rb") as file:
                    file.seek(start)
                    added = file.read(size - start)
                whole, _, _half = added.rpartition(b"\n")
                if whole:
                    _write(log, whole.decode(errors="replace").splitlines(), alone=False)
                    start += len(whole) + 1
            seen[log] = start
        time.sleep(_LOOK_S)


def _write(log: Path, lines: Sequence[str], *, alone: bool) -> None:
    name = "" if alone else f"{log.stem:<14} "
    sys.stdout.writelines(f"{name}{line}\n" for line in lines)
    sys.stdout.flush()
