"""Accept and prepare: a request becomes exactly one topup, whatever is repeated."""

import asyncio

import pytest

from shared.bus.messages import Acceptance, Accepted
from shared.bus.topups import Topups
from shared.contracts.errors import PartitionsDiffer
from shared.contracts.states import State
from shared.runtime.redis import Client
from tests.integration.bus.bench import BODY, DELIVER_BEFORE_MS, LANE, WINDOW_MS, Bench

pytestmark = pytest.mark.integration


async def test_record_and_lane_entry_are_made_in_one_step(bench: Bench) -> None:
    """The record names its entry, the entry carries all that the record has."""
    before = await bench.topups.now_ms()
    (reply,) = await bench.accept("t1", key="k1")
    record = await bench.record("t1")
    ((entry, fields),) = await bench.client.xrange(bench.stream)
    assert isinstance(reply, Accepted)
    assert (reply.status, reply.id) == ("accepted", "t1")
    assert before <= int(record["at"]) == reply.accepted_at_ms
    assert int(record["deliver_before"]) >= int(record["at"]) + DELIVER_BEFORE_MS
    assert (record["state"], record["entry"], record["seq"]) == ("queued", entry.decode(), "0")
    assert record["body"].encode() == BODY == fields[b"body"]
    assert fields.keys() == {b"id", b"body"}
    assert entry.decode().partition("-")[0] == record["at"]
    assert await bench.client.get(bench.keys.key("k1")) == b"t1 print"


async def test_a_repeat_with_the_same_id_is_the_same_topup(bench: Bench) -> None:
    """No answer to accept: again with the same id, and still one entry."""
    await bench.accept("t1")
    (reply,) = await bench.accept("t1")
    assert reply == Accepted("replayed", "t1", None)
    assert await bench.client.xlen(bench.stream) == 1


async def test_a_repeat_with_the_same_key_leads_to_the_first_id(bench: Bench) -> None:
    """The proposed id of the repeat is forgotten."""
    await bench.accept("t1", key="k1")
    (reply,) = await bench.accept("t2", key="k1")
    assert reply == Accepted("replayed", "t1", None)
    assert await bench.record("t2") == {}


async def test_the_same_key_for_another_request_is_a_mismatch(bench: Bench) -> None:
    """One key never stands for two sales."""
    await bench.accept("t1", key="k1")
    (reply,) = await bench.accept("t2", key="k1", fingerprint="other")
    assert reply == Accepted("mismatch", "t1", None)
    assert await bench.record("t2") == {}


async def test_the_same_id_for_another_request_is_a_mismatch(bench: Bench) -> None:
    """Also without a key: the two bodies differ."""
    await bench.accept("t1")
    assert await bench.accept("t1", body=BODY + b" ") == [Accepted("mismatch", "t1", None)]


async def test_a_key_twice_in_one_batch_is_one_topup(bench: Bench) -> None:
    """Two gateways' repeats may meet in one round trip."""
    first, second = await bench.accept("t1", "t2", key="k1")
    assert second == Accepted("replayed", "t1", None)
    assert isinstance(first, Accepted)
    assert first.status == "accepted"
    assert await bench.client.xlen(bench.stream) == 1


async def test_many_at_once_with_one_key_are_one_topup(bench: Bench) -> None:
    """Whoever is first wins; all are told the same id."""
    replies = await asyncio.gather(*(bench.accept(f"t{n}", key="k") for n in range(20)))
    accepted = [reply for (reply,) in replies if isinstance(reply, Accepted)]
    assert sorted(reply.status for reply in accepted) == ["accepted"] + ["replayed"] * 19
    assert len({reply.id for reply in accepted}) == 1


async def test_a_repeat_is_counted_so_that_there_is_a_write_to_wait_for(bench: Bench) -> None:
    """WAITAOF waits for a connection's last write; a replay that wrote nothing proves nothing."""
    await bench.accept("t1")
    for repeats, body in enumerate([BODY, BODY + b" "], start=1):
        before = (await bench.client.info("persistence"))["rdb_changes_since_last_save"]
        await bench.accept("t1", body=body)
        after = (await bench.client.info("persistence"))["rdb_changes_since_last_save"]
        assert after > before
        assert (await bench.topups.counters(0))["replayed"] == repeats


async def test_a_key_that_comes_back_after_its_window_makes_a_new_topup(bench: Bench) -> None:
    """Key and record end together."""
    await bench.accept("t1", key="k1")
    await bench.finish("t1", "", State.SUCCEEDED, key="k1")
    names = bench.keys.key("k1"), bench.keys.record("t1")
    ends = [await bench.client.pexpiretime(name) for name in names]
    assert ends[0] == ends[1] <= await bench.topups.now_ms() + WINDOW_MS
    await bench.client.delete(*names)
    await bench.client.hdel(bench.keys.counters, "accepted", "succeeded", f"succeeded:{LANE}")
    (reply,) = await bench.accept("t2", key="k1")
    assert isinstance(reply, Accepted)
    assert (reply.status, reply.id) == ("accepted", "t2")


async def test_nothing_expires_while_it_is_open(bench: Bench) -> None:
    """Neither key nor record may vanish before the end is known."""
    await bench.accept("t1", key="k1")
    assert await bench.client.ttl(bench.keys.key("k1")) == -1
    assert await bench.client.ttl(bench.keys.record("t1")) == -1


async def test_another_partition_count_is_refused_before_anything_is_done(bench: Bench) -> None:
    """A customer's key would be looked for in another partition."""
    await bench.accept("t1")
    others = Topups(bench.client, partitions=2, window_ms=WINDOW_MS)
    before = await bench.snapshot()
    item = Acceptance(id="t2", fingerprint="print", key_hash="", body=BODY)
    for call in (
        others.accept(0, LANE, [item], deliver_before_ms=1),
        others.begin(0, LANE, [], owner="a", terms=bench.terms),
        others.prepare(LANE),
    ):
        with pytest.raises(PartitionsDiffer, match="made with 1, not 2"):
            await call
    assert await bench.snapshot() == before


async def test_the_count_is_in_every_partition_before_the_first_topup(redis: Client) -> None:
    """Else a process with another count would find partitions that have nothing against it."""
    four = Topups(redis, partitions=4, window_ms=WINDOW_MS)
    await four.prepare(LANE)
    for count in (2, 8):
        with pytest.raises(PartitionsDiffer, match=f"made with 4, not {count}"):
            await Topups(redis, partitions=count, window_ms=WINDOW_MS).prepare(LANE)


async def test_groups_are_there_before_the_first_entry(bench: Bench) -> None:
    """A group made later would not get what came before; prepare or accept, whichever is first."""
    await bench.client.delete(bench.stream, bench.keys.outcomes)
    await bench.accept("t1")
    lane = {row["name"]: row for row in await bench.client.xinfo_groups(bench.stream)}
    outcomes = {row["name"]: row for row in await bench.client.xinfo_groups(bench.keys.outcomes)}
    assert set(lane) == {b"dispatcher", b"ledger"}
    assert set(outcomes) == {b"ledger"}
    assert {row["last-delivered-id"] for row in (lane | outcomes).values()} == {b"0-0"}


async def test_prepare_keeps_what_the_groups_have_read(bench: Bench) -> None:
    """Each service prepares at each start."""
    await bench.accept("t1")
    await bench.deliver("a")
    before = await bench.snapshot()
    await bench.topups.prepare(LANE)
    assert await bench.snapshot() == before


async def test_a_missing_group_of_another_stream_does_not_reset_this_one(bench: Bench) -> None:
    """Only what is missing is made."""
    await bench.accept("t1")
    await bench.deliver("a")
    await bench.client.delete(bench.keys.outcomes)
    await bench.topups.prepare(LANE)
    assert len(await bench.pending()) == 1
    assert len(await bench.client.xinfo_groups(bench.keys.outcomes)) == 1
