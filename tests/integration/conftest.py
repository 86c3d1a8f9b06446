"""What tests of several rooms stand on: a network before the empty Valkey, and a small cluster."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest

from ops.valkey_cluster import ValkeyCluster
from tests.chaos.links import Link


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[Link]:
    """A network between a client and the empty Valkey."""
    server = urlsplit(redis_url)

    async def upstream() -> tuple[str, int]:
        return server.hostname or "", server.port or 0

    link = Link("valkey", upstream)
    await link.open()
    yield link
    await link.close()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    """Two primaries and no replica."""
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"), primaries=2, replicas=0)
    yield cluster
    cluster.stop()
