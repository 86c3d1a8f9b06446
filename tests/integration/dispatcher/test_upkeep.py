"""The timers of a dispatcher: one thing that fails, or does not move, holds up nothing else."""

import asyncio

import pytest

from services.dispatcher.upkeep import Upkeep
from shared.contracts.limits import BATCH_MAX
from shared.runtime.background import end
from shared.runtime.redis import Client
from tests.integration.bus.bench import LANE, Bench, until
from tests.integration.dispatcher.lanes import Bay

pytestmark = pytest.mark.integration


@pytest.fixture
async def bench(redis: Client) -> Bench:
    """The same lane, in the hands of a test."""
    bench = Bench(redis)
    await bench.topups.prepare(LANE)
    return bench


async def test_a_takeover_that_fails_lets_the_parked_wake(bench: Bench, redis: Client) -> None:
    """A lane whose consumers cannot be listed is no reason to strand the others."""
    bay = Bay(redis, partitions=1, size=2)
    await bench.start("t1", "me", "n1")
    await bench.park("t1", "n1", "no")
    await redis.zadd(bench.keys.waiting, {"t1": 1})
    await redis.xgroup_destroy(bench.stream, "dispatcher")
    upkeep = Upkeep(bay.topups, bay.watch, [bay.lane], lease_ms_max=60_000)
    running = asyncio.create_task(upkeep.run())

    async def woken() -> bool:
        return await bench.state("t1") == "queued"

    await until(woken)
    await end([running])


async def test_what_is_due_and_cannot_move_is_looked_at_once_a_tick(
    bench: Bench, redis: Client
) -> None:
    """After a clock has gone back, say: no loop at full speed until it has caught up."""
    bay = Bay(redis, partitions=1, size=2)
    ids = [f"t{number}" for number in range(BATCH_MAX)]
    await bench.accept(*ids)
    await redis.zadd(bench.keys.waiting, dict.fromkeys(ids, 1))  # queued: none of them will move
    upkeep = Upkeep(bay.topups, bay.watch, [bay.lane], lease_ms_max=60_000)
    async with asyncio.timeout(10):
        await upkeep._wake(0)
    assert await redis.zcard(bench.keys.waiting) == BATCH_MAX
