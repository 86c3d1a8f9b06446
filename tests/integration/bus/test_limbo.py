"""The schedule of questions about unresolved topups: one asks at a time, ever more rarely."""

import pytest

from shared.bus.limbo import Schedule
from shared.contracts.states import State
from tests.integration.bus.bench import LANE, SLACK_MS, Bench

pytestmark = pytest.mark.integration

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@pytest.fixture
async def schedule(bench: Bench) -> Schedule:
    """A topup in limbo, t1, that is on the schedule."""
    await bench.start("t1")
    await bench.finish("t1", "n1", State.UNRESOLVED)
    schedule = Schedule(bench.client, bench.topups)
    await schedule.add(0, LANE, ["t1"], now_ms=await bench.topups.now_ms())
    return schedule


async def taken(bench: Bench, schedule: Schedule) -> list[str]:
    """Return whose turn it is now."""
    now_ms = await bench.topups.now_ms()
    return [one.id for one in await schedule.take(0, LANE, now_ms=now_ms, count_max=10)]


async def test_each_turn_is_taken_once(bench: Bench, schedule: Schedule) -> None:
    """The next comes after a minute, then after about as long as it has been in limbo."""
    assert await taken(bench, schedule) == ["t1"]
    assert await taken(bench, schedule) == []
    await bench.pass_time(MINUTE_MS + SLACK_MS)
    assert await taken(bench, schedule) == ["t1"]
    await bench.pass_time(10 * HOUR_MS)
    assert await taken(bench, schedule) == ["t1"]
    await bench.pass_time(6 * HOUR_MS - SLACK_MS)
    assert await taken(bench, schedule) == []
    await bench.pass_time(2 * SLACK_MS)
    assert await taken(bench, schedule) == ["t1"], "at least every six hours"


async def test_being_put_on_it_again_brings_no_turn_forward(
    bench: Bench, schedule: Schedule
) -> None:
    """However many ledgers do it."""
    assert await taken(bench, schedule) == ["t1"]
    await schedule.add(0, LANE, ["t1"], now_ms=0)
    assert await taken(bench, schedule) == []


async def test_what_has_ended_leaves_it(bench: Bench, schedule: Schedule) -> None:
    """And so does what has no record."""
    await bench.finish("t1", "late", State.SUCCEEDED)
    await schedule.add(0, LANE, ["gone"], now_ms=0)
    assert await taken(bench, schedule) == []
    assert await bench.client.zcard(bench.keys.limbo(LANE)) == 0
