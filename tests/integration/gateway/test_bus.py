"""What the gateway asks of the streams for itself: once for all who need it."""

import asyncio
from typing import Any

import pytest

from services.gateway.bus import Bus
from shared.bus.topups import Topups
from shared.runtime.clock import SystemClock
from shared.runtime.redis import Client

pytestmark = pytest.mark.integration


async def asked(redis: Client) -> tuple[int, int]:
    """Return how often hashes were read, and how many connections there are."""
    reads: dict[str, Any] = (await redis.info("commandstats")).get("cmdstat_hgetall", {"calls": 0})
    return int(reads["calls"]), len(await redis.client_list())


async def test_however_many_ask_for_a_lane_it_is_read_once(redis: Client) -> None:
    """And over the connection that is there."""
    topups = Topups(redis, partitions=1, window_ms=60_000)
    bus = Bus(topups, SystemClock(), partitions=1, deliver_before_ms=60_000)
    await topups.lanes(0)
    reads, connections = await asked(redis)
    found = await asyncio.gather(*(bus.lane("C", "LATCOM") for _ in range(50)))
    assert {lane.state for lane in found} == {"open"}
    assert await asked(redis) == (reads + 1, connections)
