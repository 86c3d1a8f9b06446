"""A lane takes over, drains and lets go: nobody else's work begins in a process that is leaving."""

import asyncio
from collections.abc import Sequence

import pytest

from services.dispatcher.providers.adapter import Delivered
from shared.bus.messages import Acceptance, Work
from shared.bus.reader import Entry, GroupReader
from shared.bus.records import Record
from shared.contracts.streams import DISPATCHER_GROUP
from shared.runtime.redis import Client
from tests.integration.bus.bench import BODY, LANE, terms, until
from tests.integration.dispatcher.lanes import Bay

pytestmark = pytest.mark.integration


async def _accept(bay: Bay, partition: int, topup_id: str) -> None:
    item = Acceptance(id=topup_id, fingerprint="print", key_hash="", body=BODY)
    await bay.topups.accept(partition, LANE, [item], deliver_before_ms=600_000)


async def _consumers(bay: Bay) -> dict[str, int]:
    """Return whose how many entries are pending in the first partition."""
    rows = await bay.client.xinfo_consumers(bay.topups.keys[0].requests(LANE), DISPATCHER_GROUP)
    return {row["name"].decode(): row["pending"] for row in rows}


@pytest.fixture
async def bay(redis: Client) -> Bay:
    """A lane in one partition."""
    bay = Bay(redis, partitions=1, size=2)
    await bay.topups.prepare(LANE)
    return bay


async def test_what_the_dead_left_is_carried_by_the_living(bay: Bay) -> None:
    """Claimed, begun, paid, finished, and its slot is free again."""
    await _accept(bay, 0, "t1")
    stream = bay.topups.keys[0].requests(LANE)
    await bay.client.xreadgroup(DISPATCHER_GROUP, "dead", {stream: ">"})
    await bay.lane.claim()
    bay.patron.goes_on.set()
    await bay.lane.drain()
    (record,) = await bay.topups.look(0, ["t1"])
    assert isinstance(record, Record)
    assert (record.state, bay.patron.asked, bay.slots.taken()) == ("succeeded", ["t1"], 0)


async def test_an_answer_that_breaks_us_is_no_answer(bay: Bay) -> None:
    """It may have been paid: that is said at once, and nothing is left to a lease's end."""
    await _accept(bay, 0, "t1")
    stream = bay.topups.keys[0].requests(LANE)
    await bay.client.xreadgroup(DISPATCHER_GROUP, "dead", {stream: ">"})
    bay.patron.answer = Delivered(provider_reference="P1", raw=b"no text")  # type: ignore[arg-type]
    bay.patron.goes_on.set()
    await bay.lane.claim()
    await bay.lane.drain()
    (record,) = await bay.topups.look(0, ["t1"])
    assert isinstance(record, Record)
    assert (record.state, bay.slots.taken()) == ("unresolved", 0)


@pytest.mark.parametrize("lost", [False, True])
async def test_a_process_that_is_leaving_takes_nothing_over(bay: Bay, *, lost: bool) -> None:
    """What it began last would be cut off by its own end: a doubt that no crash has made."""
    await _accept(bay, 0, "t1")
    stream = bay.topups.keys[0].requests(LANE)
    await bay.client.xreadgroup(DISPATCHER_GROUP, "dead", {stream: ">"})
    bay.draining.set()
    await (bay.lane.claim_lost(0) if lost else bay.lane.claim())
    await bay.lane.drain()
    assert await _consumers(bay) == {"dead": 1}
    assert bay.patron.asked == []


async def test_a_claim_that_is_answered_while_leaving_begins_nothing(bay: Bay) -> None:
    """It stays pending, and is the others' as soon as this owner has left."""
    await _accept(bay, 0, "t1")
    stream = bay.topups.keys[0].requests(LANE)
    await bay.client.xreadgroup(DISPATCHER_GROUP, "dead", {stream: ">"})
    claiming = asyncio.create_task(bay.lane.claim())
    await asyncio.sleep(0)  # it has begun to ask by now
    bay.draining.set()
    await bay.lane.drain()
    await claiming
    assert not bay.lane._tasks
    assert await _consumers(bay) == {"dead": 0, "me": 1}


async def test_a_drain_tells_two_partitions_entries_of_one_id_apart(redis: Client) -> None:
    """The one in flight is carried to its end, the patient one is left to others."""
    bay = Bay(redis, partitions=2, size=2)
    await bay.topups.prepare(LANE)
    entry = "99999999999999-0"
    for partition, topup_id in enumerate(("flies", "waits")):
        await _accept(bay, partition, topup_id)
        names = bay.topups.keys[partition]
        stream = names.requests(LANE)
        ((_, fields),) = await redis.xrange(stream)
        await redis.xgroup_setid(stream, DISPATCHER_GROUP, "$")
        await redis.xadd(stream, fields, id=entry)
        await redis.hset(names.record(topup_id), "entry", entry)
    work = Work(id="waits", entry=entry, key_hash="", nonce="n1")
    await bay.topups.begin(1, LANE, [work], owner="other", terms=terms("neither"))

    running = asyncio.create_task(bay.lane.run())
    await bay.patron.arrived.wait()

    async def other_is_patient() -> bool:
        return bay.slots.taken() == 1 and len(bay.lane._patient) == 1

    await until(other_is_patient)
    bay.draining.set()
    draining = asyncio.create_task(bay.lane.drain())
    await until(lambda: _only_one_left(bay))
    bay.patron.goes_on.set()
    await asyncio.gather(draining, running)
    (record,) = await bay.topups.look(0, ["flies"])
    assert isinstance(record, Record)
    assert (record.state, bay.patron.asked) == ("succeeded", ["flies"])


async def _only_one_left(bay: Bay) -> bool:
    return not bay.lane._patient


class Unheard(GroupReader):
    """Loses the answer to its first read, after the server has delivered."""

    lost = False

    async def read(
        self, streams: Sequence[str], *, count_max: int, block_ms: int | None
    ) -> list[Entry]:
        entries = await super().read(streams, count_max=count_max, block_ms=block_ms)
        if not self.lost:
            self.lost = True
            raise ConnectionError("the answer did not come")
        return entries


async def test_what_a_lost_answer_delivered_is_taken_back_at_once(redis: Client) -> None:
    """It is pending under our own name: nobody else takes it while we live, so we must."""
    bay = Bay(redis, partitions=1, size=2, reader=Unheard)
    await bay.topups.prepare(LANE)
    await _accept(bay, 0, "t1")
    bay.patron.goes_on.set()
    running = asyncio.create_task(bay.lane.run())
    await asyncio.wait_for(bay.patron.arrived.wait(), timeout=30)
    bay.draining.set()
    await asyncio.gather(running, bay.lane.drain())
    (record,) = await bay.topups.look(0, ["t1"])
    assert isinstance(record, Record)
    assert (record.state, bay.patron.asked) == ("succeeded", ["t1"])
