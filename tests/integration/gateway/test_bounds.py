"""How long a gateway waits for streams that say nothing: its own bound, not a connection's."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from services.gateway import bus
from services.gateway.bus import Bus
from services.gateway.refusals import Unavailable
from shared.bus.records import LaneState
from shared.bus.topups import Topups
from shared.runtime import connections, redis
from shared.runtime.clock import SystemClock
from shared.runtime.redis import connect
from tests.chaos.links import Link, Weather

pytestmark = pytest.mark.integration

FOR_EVER_S = 600.0
ENOUGH_S = 20.0


@pytest.fixture
async def looking(
    redis_url: str, link: Link, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bus]:
    """What a gateway does on streams whose connections never give up."""
    for module in (connections, redis):
        monkeypatch.setattr(module, "COMMAND_TIMEOUT_S", FOR_EVER_S)
    monkeypatch.setattr(bus, "LOOK_S_MAX", 0.05)
    monkeypatch.setattr(bus, "LANES_S_MAX", 0.05)
    client = connect(redis_url.replace(f":{urlsplit(redis_url).port}/", f":{link.port}/"))
    topups = Topups(client, partitions=1, window_ms=1_000)
    yield Bus(topups, SystemClock(), partitions=1, deliver_before_ms=1_000)
    await client.aclose()


async def test_who_asks_for_a_topup_is_told_soon(looking: Bus, link: Link) -> None:
    """That it cannot be looked up now; and found again once the streams speak."""
    assert await looking.look("C", "t1") is None
    link.suffer(Weather.HALF_OPEN)
    async with asyncio.timeout(ENOUGH_S):
        with pytest.raises(Unavailable):
            await looking.look("C", "t1")


async def test_a_lane_that_nobody_tells_of_counts_as_open_soon(looking: Bus, link: Link) -> None:
    """What merchants read of a lane is worth no wait."""
    link.suffer(Weather.STALL)
    async with asyncio.timeout(ENOUGH_S):
        assert await looking.lane("C", "LATCOM") == LaneState()
