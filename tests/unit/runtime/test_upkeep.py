"""Steps on a timer: each is tried, whatever became of the others, until it is over."""

import asyncio
from collections.abc import Awaitable, Iterator

import pytest
from structlog.testing import capture_logs

from shared.runtime import upkeep
from shared.runtime.upkeep import keep_up, take_each


async def test_a_step_that_fails_is_logged_and_holds_up_no_other() -> None:
    """The one after it is taken all the same."""
    taken: list[str] = []

    async def step(name: str) -> None:
        if name == "bad":
            raise ValueError(name)
        taken.append(name)

    with capture_logs() as logs:
        await take_each(step(name) for name in ("first", "bad", "last"))
    assert taken == ["first", "last"]
    assert [line["problem"] for line in logs] == ["ValueError('bad')"]


async def test_every_sixtieth_tick_is_a_sweep_and_a_tick_is_carried_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event ends the ticks, and not the one that is under way."""
    monkeypatch.setattr(upkeep, "TICK_S", 0)
    over, ticks, ended = asyncio.Event(), [False], [0]

    async def step() -> None:
        if len(ticks) > 60:
            over.set()
            await asyncio.sleep(0)
        ended[0] += 1

    def steps(*, sweep: bool) -> Iterator[Awaitable[None]]:
        ticks.append(sweep)
        yield step()

    await keep_up(steps, until=over)
    assert ticks[1:] == [False] * 59 + [True]
    assert ended == [60]
