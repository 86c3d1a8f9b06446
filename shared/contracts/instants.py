"""Instants as they are written: RFC 3339 in UTC, with milliseconds."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(at_ms: int) -> str:
    """Return `2026-11-23T22:00:00.123Z`."""
    seconds, milliseconds = divmod(at_ms, 1_000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@lru_cache(maxsize=1_024)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def next_ms(moment: datetime) -> int:
    """Return the first whole millisecond since the epoch that is not before the moment."""
    return -((_EPOCH - moment) // timedelta(milliseconds=1))
