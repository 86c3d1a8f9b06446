"""The streams on a cluster: each partition on whichever primary has its slot, all at once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ops.valkey_cluster import ValkeyCluster
from shared.bus import functions
from shared.bus.beats import Heart, instances
from shared.bus.lanes import Lanes
from shared.bus.messages import Acceptance
from shared.bus.queue import read_queue
from shared.bus.reader import read_after
from shared.bus.records import Record
from shared.bus.tail import ends_of
from shared.bus.topups import Topups
from shared.bus.trust import Trust
from shared.bus.whereabouts import find
from shared.contracts.acts import act_by
from shared.contracts.errors import Unverified
from shared.contracts.states import State
from shared.runtime.clock import SystemClock
from shared.runtime.cluster import slot_of
from shared.runtime.instance import Instance
from shared.runtime.redis import Client, connect
from shared.web.checks import queue_check, redis_check
from tests.integration.bus.bench import BODY, DELIVER_BEFORE_MS, LANE, until
from tests.integration.dispatcher.lanes import Bay

pytestmark = pytest.mark.integration

PARTITIONS = 4


@pytest.fixture
async def client(two: ValkeyCluster) -> AsyncIterator[Client]:
    """Both, empty."""
    for node in two.primaries():
        node.ask("FLUSHALL")
        node.ask("FUNCTION", "FLUSH")
    client = connect(two.url)
    yield client
    await client.aclose()


@pytest.fixture
async def bay(client: Client) -> Bay:
    """A dispatcher's lane in every partition, for which a ledger vouches."""
    bay = Bay(client, partitions=PARTITIONS, size=8)
    await bay.topups.prepare(LANE)
    for partition in range(PARTITIONS):
        await vouch(client, bay.topups, partition)
    return bay


async def vouch(client: Client, topups: Topups, partition: int) -> None:
    """Say that the partition has all that the books know of it, as a ledger would."""
    trust = Trust(client, topups)
    assert await trust.vouch(partition, await trust.found(partition), {}) is None


async def accept(topups: Topups, partition: int, *ids: str) -> None:
    """Accept topups in one partition."""
    items = [Acceptance(id=one, fingerprint="print", key_hash="", body=BODY) for one in ids]
    replies = await topups.accept(partition, LANE, items, deliver_before_ms=DELIVER_BEFORE_MS)
    assert [reply.status for reply in replies] == ["accepted"] * len(ids)  # type: ignore[union-attr]


async def state_of(topups: Topups, partition: int, topup_id: str) -> State | None:
    """Return the state of its record."""
    (record,) = await topups.look(partition, [topup_id])
    return record.state if isinstance(record, Record) else None


def homes(two: ValkeyCluster, topups: Topups) -> list[int]:
    """Return for each partition which of the two has it."""
    return [two.nodes.index(two.primary_of(slot_of(names.meta))) for names in topups.keys]


async def test_a_lane_pays_what_is_accepted_in_every_partition(
    two: ValkeyCluster, bay: Bay, client: Client
) -> None:
    """On both primaries, each with the functions; and everybody sees all of it."""
    assert set(homes(two, bay.topups)) == {0, 1}
    assert not await functions.load(client)
    ends = await ends_of(client, [names.outcomes for names in bay.topups.keys])
    bay.patron.goes_on.set()
    running = asyncio.create_task(bay.lane.run())
    for partition in range(PARTITIONS):
        await accept(bay.topups, partition, f"a{partition}", f"b{partition}")

    async def all_paid() -> bool:
        queue = await read_queue(client, bay.topups, now_ms=0)
        return queue.counts.completed == 2 * PARTITIONS

    await until(all_paid)
    bay.draining.set()
    await asyncio.gather(running, bay.lane.drain())
    assert sorted(bay.patron.asked) == sorted(f"{a}{n}" for a in "ab" for n in range(PARTITIONS))
    told = await read_after(client, ends, count_max=10, block_ms=1)
    assert len(told) == 2 * PARTITIONS
    place = await find(client, bay.topups, "a3")
    assert place is not None
    assert (place.partition, place.record.state) == (3, State.SUCCEEDED)
    for check in (redis_check(client, bay.topups), queue_check(bay.topups)):
        assert (await check()).status == "healthy"


async def test_a_partition_that_moves_is_compared_with_the_books_and_goes_on(
    two: ValkeyCluster, bay: Bay, client: Client
) -> None:
    """Its new server has no trust yet, so nothing starts there; nobody else notices anything."""
    slot = slot_of(bay.topups.keys[0].meta)
    home = two.primary_of(slot)
    (away,) = [node for node in two.primaries() if node is not home]
    bay.patron.goes_on.set()
    running = asyncio.create_task(bay.lane.run())
    await accept(bay.topups, 0, "before")
    await until(lambda: _succeeded(bay, "before"))
    await asyncio.to_thread(two.move, slot, slot, to=away)
    with pytest.raises(Unverified):
        await accept(bay.topups, 0, "after")
    await vouch(client, bay.topups, 0)
    await accept(bay.topups, 0, "after")
    await until(lambda: _succeeded(bay, "after"))
    bay.draining.set()
    await asyncio.gather(running, bay.lane.drain())
    assert bay.patron.asked == ["before", "after"]
    assert homes(two, bay.topups)[0] == two.nodes.index(away)
    await asyncio.to_thread(two.move, slot, slot, to=home)


async def _succeeded(bay: Bay, topup_id: str) -> bool:
    return await state_of(bay.topups, 0, topup_id) is State.SUCCEEDED


async def test_a_replica_lives_in_every_partition(bay: Bay, client: Client) -> None:
    """By the clock of each server; and leaves all of them."""
    instance = Instance(id="dispatcher-1", service="dispatcher", boot_id="b", started=0.0)
    clock = SystemClock()
    heart = Heart(client, instance, clock, partitions=PARTITIONS, interval_ms=1_000)
    await heart.beat()
    beats = [await client.zcard(names.alive) for names in bay.topups.keys]
    assert beats == [1] * PARTITIONS
    assert [one.id for one in await instances(client, now_ms=clock.now_ms())] == ["dispatcher-1"]
    await heart.stop()
    assert [await client.zcard(names.alive) for names in bay.topups.keys] == [0] * PARTITIONS


async def test_a_lane_is_held_on_all_primaries(bay: Bay, client: Client) -> None:
    """And released."""
    lanes = Lanes(client, bay.topups)
    await lanes.hold(LANE, act=act_by("ops", why="strike"))
    held = [await bay.topups.lanes(partition) for partition in range(PARTITIONS)]
    assert [lane[LANE].state for lane in held] == ["held"] * PARTITIONS
    await lanes.release(LANE, act=act_by("ops", why=""))
    assert (await lanes.all())[LANE].state == "open"
