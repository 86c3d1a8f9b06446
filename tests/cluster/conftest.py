"""A cluster of three primaries, a replica for each, and books to compare its partitions with."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from ops.valkey_cluster import ValkeyCluster
from services.ledger.database import Database
from services.ledger.migrations import migrate, shipped
from services.ledger.watch import Watch
from shared.bus.topups import Topups
from shared.bus.trust import Trust
from shared.runtime.redis import Client, connect

LANE = "LATCOM"
PARTITIONS = 12
WINDOW_MS = 600_000


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    """All six, from the thread that ends last."""
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


@pytest.fixture
async def client(six: ValkeyCluster) -> AsyncIterator[Client]:
    """Whoever asks all of them."""
    client = connect(six.url)
    yield client
    await client.aclose()


@pytest.fixture
async def topups(client: Client) -> Topups:
    """Twelve partitions, whose steps wait for a replica."""
    topups = Topups(client, partitions=PARTITIONS, window_ms=WINDOW_MS, replicas=1)
    await topups.prepare(LANE)
    return topups


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Books."""
    migrate(database_url, shipped(), say=lambda _text: None)
    database = Database(database_url, connections_max=8)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def watch(client: Client, topups: Topups, database: Database) -> AsyncIterator[Watch]:
    """A ledger's watch, at work."""
    watch = Watch(topups, Trust(client, topups), database, providers=[LANE])
    draining = asyncio.Event()
    watching = asyncio.create_task(watch.run(draining))
    yield watch
    draining.set()
    await watching
