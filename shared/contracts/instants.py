"""Instants as they are written: RFC 3339 in UTC, with milliseconds."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S: Final = 86_400


def timestamp(at_ms: int) -> str:
    """Return `2026-11-23T22:00:00.123Z`."""
    seconds, milliseconds = divmod(at_ms, 1_000)
    days, seconds = divmod(seconds, _DAY_S)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{_date(days)}T{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}Z"


@lru_cache(maxsize=1_024)
def _date(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).date().isoformat()


def next_ms(moment: datetime) -> int:
    """Return the first whole millisecond since the epoch that is not before the moment."""
    return -((_EPOCH - moment) // timedelta(milliseconds=1))
