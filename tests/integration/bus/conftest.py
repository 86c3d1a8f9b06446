"""A lane on an empty server; after each test its counters are what its records are."""

from collections.abc import AsyncIterator

import pytest

from shared.runtime.redis import Client
from tests.integration.bus.bench import LANE, Bench


@pytest.fixture
async def bench(redis: Client) -> AsyncIterator[Bench]:
    """A prepared lane."""
    bench = Bench(redis)
    await bench.topups.prepare(LANE)
    yield bench
    await bench.check_counters()
