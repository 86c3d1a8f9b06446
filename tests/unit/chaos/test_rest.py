"""What grows less may take its time; what stands still, or grows, does not come to rest."""

import pytest

from tests.chaos import rest

WITHIN_S = 30


class Clock:
    """A clock that goes on by ten seconds with each thing that is done."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    async def act(self) -> None:
        self.now_s += 10


@pytest.mark.parametrize(
    ("seen", "at_last"),
    [
        ([4, 3, 2, 1, 0], True),
        ([4, 4, 4, 3, 3, 3, 2, 2, 2, 0], True),
        ([4, 4, 4, 4, 4, 0], False),
        ([4, 5, 6, 7, 8, 9, 0], False),
        ([4, 3, 4, 3, 4, 3, 0], False),
    ],
)
async def test_standstill_is_bounded_and_not_time(
    seen: list[int], at_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty seconds in which nothing came to its end are too long, and no other time is."""
    clock, left = Clock(), iter(seen)
    monkeypatch.setattr(rest, "time", clock)

    async def look() -> int:
        return next(left)

    assert await rest.comes_to_rest(look, within_s=WITHIN_S, act=clock.act) is at_last


async def test_what_trickles_does_not_come_to_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in ten seconds is too little where one a second is asked for."""
    clock, left = Clock(), iter(range(50, 0, -1))
    monkeypatch.setattr(rest, "time", clock)

    async def look() -> int:
        return next(left)

    assert not await rest.comes_to_rest(look, within_s=WITHIN_S, act=clock.act, per_s=1.0)
    assert clock.now_s == pytest.approx(WITHIN_S + 50, abs=10)
