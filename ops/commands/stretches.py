"""From what an operator types as a time to the entries that lie between two of them."""

import datetime as dt
import re
from typing import Final
from zoneinfo import ZoneInfo

from ops.errors import CommandFailed
from shared.bus.ranges import Stretch, place

_ENTRY: Final = re.compile(r"([0-9]{12,15})(?:-([0-9]{1,19}))?")  # since 2001: a year is none
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER_MAX: Final = 2**64 - 1
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def stretch_between(since: str | None, until: str | None, *, timezone: str) -> Stretch:
    """Return what lies between two options: a time, a day in the time zone, or an entry's id.

    From a time or day on, and before another one; of entries, both are included.

    Raises:
        CommandFailed: one of them is none of these, or they leave nothing between.
    """
    first = "-" if since is None else _first(since, timezone)
    last = "+" if until is None else _last(until, timezone)
    if since is not None and until is not None and place(first) > place(last):
        raise CommandFailed(
            f"--from {since} is not before --to {until}; for example: "
            "--from 2026-11-23 --to 2026-11-24",
            status=2,
        )
    return Stretch(first, last)


def _first(text: str, timezone: str) -> str:
    if found := _ENTRY.fullmatch(text):
        return f"{found[1]}-{found[2] or 0}"
    return f"{_moment_ms('--from', text, timezone)}-0"


def _last(text: str, timezone: str) -> str:
    if found := _ENTRY.fullmatch(text):
        return f"{found[1]}-{found[2] or _NUMBER_MAX}"
    return f"{_moment_ms('--to', text, timezone) - 1}-{_NUMBER_MAX}"


def _moment_ms(option: str, text: str, timezone: str) -> int:
    """Return the first whole millisecond that is not before the moment."""
    try:
        moment = dt.datetime.fromisoformat(text)
        if _DAY.fullmatch(text):
            moment = moment.replace(tzinfo=ZoneInfo(timezone))
        at_ms = -((_EPOCH - moment) // dt.timedelta(milliseconds=1))
    except (ValueError, TypeError, OverflowError):  # TypeError: a time without its offset
        at_ms = 0
    if at_ms <= 0:
        raise CommandFailed(
            f"{option} {text[:64]!r} is neither a time with its offset, nor a day, nor an entry; "
            f"for example: {option} 2026-11-23T22:00:00-06:00, {option} 2026-11-23 "
            f"(in {timezone}), {option} 1795000000000-0",
            status=2,
        )
    return at_ms
