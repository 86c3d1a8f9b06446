"""Moments as people write them: for how long, or until when."""

from datetime import datetime
from typing import Final

from shared.contracts.errors import InvalidRequest
from shared.contracts.instants import next_ms
from shared.runtime.settings import parse_duration_ms

_LATEST_MS_MAX: Final = 366 * 86_400_000
_EXAMPLES: Final = "for example 30m or 2026-11-24T03:00:00-06:00"


def moment_ms(name: str, text: str, *, now_ms: int) -> int:
    """Return when a duration from now, or an instant, is.

    Raises:
        InvalidRequest: it is neither, is over already, or is over a year away.
    """
    try:
        at_ms = now_ms + parse_duration_ms(text)
    except ValueError:
        at_ms = instant_ms(name, text)
    if not now_ms < at_ms <= now_ms + _LATEST_MS_MAX:
        raise InvalidRequest(
            f"{name} {text[:40]!r} is not between now and a year from now; {_EXAMPLES}"
        )
    return at_ms


def instant_ms(name: str, text: str) -> int:
    """Return when an instant, RFC 3339 with an offset, is; raises as `moment_ms`."""
    try:
        return next_ms(datetime.fromisoformat(text))
    except (ValueError, TypeError, OverflowError):  # TypeError: without its offset
        raise InvalidRequest(
            f"{name} {text[:40]!r} is neither a duration nor an instant with its offset; "
            f"{_EXAMPLES}"
        ) from None
