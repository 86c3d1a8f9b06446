"""What moves on may take its time; what stands still, or never ends, does not come to rest."""

from collections.abc import Hashable

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
    ("seen", "comes_to_rest"),
    [
        ([4, 3, 2, 1, rest.AT_REST], True),
        ([4, 4, 4, 3, 3, 3, 2, 2, 2, rest.AT_REST], True),
        ([4, 4, 4, 4, 4, rest.AT_REST], False),
        ([*range(100), rest.AT_REST], False),
    ],
)
async def test_standstill_is_bounded_and_not_time(
    seen: list[Hashable], comes_to_rest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty seconds without a change are too long, and so is ten times that with changes."""
    clock, left = Clock(), iter(seen)
    monkeypatch.setattr(rest, "time", clock)

    async def look() -> Hashable:
        return next(left)

    assert await rest.moves_on(look, within_s=WITHIN_S, act=clock.act) is comes_to_rest
