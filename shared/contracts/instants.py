"""Instants as they are written: RFC 3339 in UTC, with milliseconds."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(at_ms: int) -> str:
    """Return `2026-11-23T22:00:00.123Z`."""
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def next_ms(moment: datetime) -> int:
    """Return the first whole millisecond since the epoch that is not before the moment."""
    return -((_EPOCH - moment) // timedelta(milliseconds=1))
