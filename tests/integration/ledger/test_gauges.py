"""What a ledger sees of the streams, as it is scraped; what it cannot see it does not tell."""

import math
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from ops.embedded import Running
from services.ledger.database import Database
from services.ledger.gauges import Gauges
from shared.bus.topups import Topups
from shared.runtime.redis import Client, connect
from tests.vouching import vouch_for

pytestmark = pytest.mark.integration
LANE = "LATCOM"


def gauges(client: Client) -> Gauges:
    topups = Topups(client, partitions=1, window_ms=0)
    return Gauges(client, topups, providers=[LANE])


def told(name: str, **labels: str) -> float | None:
    """Return what is scraped."""
    return REGISTRY.get_sample_value(f"topup_{name}", labels)


async def test_an_empty_server_that_is_well_is_shown_as_that(redis: Client) -> None:
    """Safe, with room, and nothing that is old."""
    await Topups(redis, partitions=1, window_ms=0).prepare(LANE)
    await gauges(redis).show()
    assert told("oldest_unfinished_age_seconds", provider=LANE) == 0
    assert told("lane_topups", provider=LANE, state="queued") == 0
    assert told("stream_unread_entries", stream="outcomes", group="ledger") == 0
    assert told("ledger_unbooked_age_seconds") == told("conservation_error") == 0
    assert told("streams_durable") == told("streams_writable") == 1
    used, at_most = told("streams_memory_used_bytes"), told("streams_memory_max_bytes")
    assert used is not None
    assert at_most is not None
    assert 0 < used < at_most


async def test_its_own_folder_is_its_disk(tmp_path: Path) -> None:
    """Of a server on this machine the room is told; its data is on a disk with some."""
    running = Running.valkey(tmp_path / "valkey")
    try:
        vouch_for(running.url)
        client = connect(running.url)
        await gauges(client).show()
        free, size = told("streams_disk_free_bytes"), told("streams_disk_size_bytes")
        assert free is not None
        assert size is not None
        assert 0 < free < size
        await client.config_set("appendfsync", "everysec")
        await client.config_set("maxmemory", 1)
        await gauges(client).show()
        assert (told("streams_durable"), told("streams_writable")) == (0, 0)
        running.kill()
        await gauges(client).show()
        assert told("oldest_unfinished_age_seconds", provider=LANE) is None
        assert told("lane_topups", provider=LANE, state="queued") is None
        assert math.isnan(told("streams_durable") or 0)
        assert math.isnan(told("ledger_unbooked_age_seconds") or 0)
        await client.aclose()
    finally:
        running.stop()


async def test_the_pool_is_shown_as_it_is(database: Database) -> None:
    """Open, lent, waited for; and how long a connection took and was used."""
    await database.ping()
    used = told("database_use_duration_seconds_count")
    async with database.connection() as connection:
        await connection.execute("SELECT 1")
        assert told("database_connections_in_use") == 1
        assert told("database_connections_max") == 8
    assert told("database_use_duration_seconds_count") == (used or 0) + 1
    assert told("database_wait_duration_seconds_count") == told(
        "database_use_duration_seconds_count"
    )
    assert told("database_waiters") == 0
