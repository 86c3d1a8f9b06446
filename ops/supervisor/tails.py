"""The end of a log file, and its bound."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

LOG_BYTES_MAX: Final = 50_000_000
_BLOCK: Final = 65_536
_GRAVE: Final = re.compile(r"\b(FATAL|PANIC):")


def last_lines(path: Path, count: int, *, since: int = 0, before: int | None = None) -> list[str]:
    """Return the last lines that were written between the two offsets."""
    try:
        with path.open("rb") as log:
            end = log.seek(0, 2) if before is None else before
            start, data = end, b""
            since = min(since, end)
            while start > since and data.count(b"\n") <= count:
                begin = max(since, start - _BLOCK)
                log.seek(begin)
                data = log.read(start - begin) + data
                start = begin
    except OSError:
        return []
    return data.decode(errors="replace").splitlines()[-count:] if count else []


def telling(lines: Sequence[str]) -> str:
    """Return of a process's last words what says why it ended."""
    words = [line.strip() for line in lines if line.strip() and "LOG:" not in line]
    grave = [place for place, line in enumerate(words) if _GRAVE.search(line)]
    return " ".join(words[grave[-1] :] if grave else words[-1:]) or "it said nothing"


def problem_in(lines: Sequence[str]) -> str | None:
    """Return the problem that a service's last log line tells of; None where it tells of none."""
    try:
        return msgspec.json.decode(lines[-1], type=_Told).problem if lines else None
    except msgspec.MsgspecError:
        return None


class _Told(msgspec.Struct):
    problem: str | None = None


def rotate(folder: Path) -> None:
    """Put each log of the last run aside as `.log.1`."""
    for log in folder.glob("*.log"):
        log.replace(log.with_name(f"{log.name}.1"))


def keep_bounded(folder: Path) -> None:
    """Copy a log that has grown too long to `.log.1` and empty it; its writer appends on."""
    for log in folder.glob("*.log"):
        if log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            log.open("w").close()
