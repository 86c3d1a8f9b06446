"""A service that starts while its server is away waits for it."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ops.embedded import Running
from shared.bus.topups import Topups
from shared.contracts.errors import PartitionsDiffer
from shared.runtime.redis import connect
from shared.runtime.waiting import until_done
from tests.integration.bus.bench import LANE, until

pytestmark = pytest.mark.integration


async def test_a_start_waits_for_a_server_that_is_away_and_says_so_once(tmp_path: Path) -> None:
    """However often it looks; then it goes on by itself."""
    running = await asyncio.to_thread(Running.valkey, tmp_path)
    try:
        running.kill()
        client = connect(running.url)
        topups, asked = Topups(client, partitions=1, window_ms=1), 0

        async def prepare() -> None:
            nonlocal asked
            asked += 1
            await topups.prepare(LANE)

        with capture_logs() as logs:
            waiting = asyncio.create_task(until_done("redis_not_reached", prepare))

            async def asked_often() -> bool:
                return asked > 3

            await until(asked_often)
            running.revive()
            await asyncio.wait_for(waiting, 10)
        away = [line for line in logs if line["event"] == "redis_not_reached"]
        assert away
        assert len(away) == len({line["problem"] for line in away})
        assert await topups.counters(0) == {}
        await client.aclose()
    finally:
        running.stop()


async def test_what_waiting_cannot_mend_ends_the_start() -> None:
    """Wrong settings are told at once."""

    async def refused() -> None:
        raise PartitionsDiffer("made with 1, not 2")

    with pytest.raises(PartitionsDiffer):
        await until_done("redis_not_reached", refused)
