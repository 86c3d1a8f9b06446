"""Rates, shares and durations of the last minute, from counters and a sample of ends; no I/O.

The counters tell exactly how many ended and how. How long they took is told by a sample: the
newest few of each second, so that a busy system costs no more to look at than a quiet one.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from services.gateway.page.frames import RATE_S, WINDOW_S, Rates, Took

ENDS: Final = ("succeeded", "failed", "unresolved")
_SAMPLES_MAX: Final = 4_096


class Tally(msgspec.Struct, frozen=True):
    """What the counters said at one moment: all accepted, and ends by provider."""

    at_s: float
    accepted: int
    ends: Mapping[str, tuple[int, int, int]]


class Pulse:
    """Holds a minute of tallies and of durations."""

    def __init__(self) -> None:
        self._tallies: deque[Tally] = deque()
        self._took: dict[str, deque[tuple[float, int]]] = {}

    def count(self, tally: Tally) -> None:
        """Take what the counters say now."""
        if self._tallies and tally.accepted < self._tallies[-1].accepted:
            self._tallies.clear()  # they began anew: the streams were lost
        self._tallies.append(tally)
        while tally.at_s - self._tallies[0].at_s > WINDOW_S:
            self._tallies.popleft()

    def time(self, at_s: float, provider: str, took_ms: int) -> None:
        """Take how long one topup took."""
        kept = self._took.setdefault(provider, deque(maxlen=_SAMPLES_MAX))
        kept.append((at_s, took_ms))

    def rates(self) -> Rates | None:
        """Return what happens in a second; None before there are two tallies."""
        newest = self._tallies[-1] if self._tallies else None
        if newest is None:
            return None
        before = next(tally for tally in self._tallies if newest.at_s - tally.at_s <= RATE_S)
        seconds = newest.at_s - before.at_s
        if seconds <= 0:
            return None
        ended = [_since(before, newest, provider) for provider in newest.ends]
        per_second = [round(sum(counts) / seconds, 2) for counts in zip(*ended, strict=True)]
        return Rates(
            accepted=round((newest.accepted - before.accepted) / seconds, 2),
            **dict(zip(ENDS, per_second, strict=True)),
        )

    def share(self, provider: str) -> tuple[int | None, float | None]:
        """Return how many ended in the last minute, and the share of those that succeeded."""
        if len(self._tallies) < 2:  # noqa: PLR2004 - a difference needs two
            return None, None
        succeeded, *others = _since(self._tallies[0], self._tallies[-1], provider)
        ended = succeeded + sum(others)
        return ended, (succeeded / ended if ended else None)

    def took(self, now_s: float, providers: Iterable[str]) -> Took | None:
        """Return how long topups of these took in the last minute; None where none ended."""
        found: list[int] = []
        for provider in providers:
            kept = self._took.get(provider, deque())
            while kept and now_s - kept[0][0] > WINDOW_S:
                kept.popleft()
            found += [took_ms for _, took_ms in kept]
        if not found:
            return None
        found.sort()
        return Took(p50_ms=_rank(found, 0.5), p95_ms=_rank(found, 0.95), of=len(found))

    @property
    def providers(self) -> list[str]:
        """Whose durations are known."""
        return list(self._took)


def _since(before: Tally, now: Tally, provider: str) -> tuple[int, ...]:
    """Return what ended in between; what people settled is no unresolved one any more."""
    old, new = before.ends.get(provider, (0, 0, 0)), now.ends.get(provider, (0, 0, 0))
    return tuple(max(later - earlier, 0) for earlier, later in zip(old, new, strict=True))


def _rank(ordered: list[int], share: float) -> int:
    """Return the nearest rank, as in: so many of a hundred took no longer."""
    return ordered[max(int(len(ordered) * share + 0.999_999) - 1, 0)]
