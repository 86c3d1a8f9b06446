"""What `topup explain` tells of a topup in Redis, at each place where it can be."""

import pytest

from shared.bus.whereabouts import Whereabouts, find
from shared.contracts.states import State
from tests.integration.bus.bench import LANE, Bench

pytestmark = pytest.mark.integration


async def where(bench: Bench) -> Whereabouts:
    found = await find(bench.client, bench.topups, "t1")
    assert found is not None
    return found


async def test_a_topup_on_its_way(bench: Bench) -> None:
    """On its lane, read, begun, parked, settled: each time with what carries it."""
    assert await find(bench.client, bench.topups, "t1") is None
    await bench.accept("t1")
    found = await where(bench)
    assert found.record.state is State.QUEUED
    assert (found.entry_exists, found.delivery, found.due_ms) == (True, None, None)

    await bench.deliver("a")
    found = await where(bench)
    assert found.delivery is not None
    assert (found.delivery.consumer, found.delivery.times) == ("a", 1)

    await bench.begin("t1", "a", "n1")
    record = (await where(bench)).record
    assert (record.state, record.owner, record.mode, record.attempt) == ("active", "a", "send", 1)
    assert record.lease_until_ms is not None
    assert record.first_send_at_ms is not None

    await bench.park("t1", "n1", "unknown", delay_ms=60_000, reason="no_answer")
    found = await where(bench)
    assert found.due_ms is not None
    assert (found.record.entry, found.record.owner, found.record.doubt) == (None, None, "n1")
    assert found.record.quarantine_until_ms > found.due_ms

    await bench.finish("t1", "n1", State.SUCCEEDED)
    found = await where(bench)
    assert found.record.state is State.SUCCEEDED
    assert (found.entry_exists, found.delivery, found.due_ms) == (False, None, None)
    assert found.record.lane == LANE
