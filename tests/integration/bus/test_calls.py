"""Calls to a server in trouble: what it refused was not done, what has no name may have been."""

import asyncio

import pytest

from services.dispatcher.steps import Steps
from shared.bus.messages import ItemFailed, Outcome
from shared.bus.reader import GroupReader
from shared.bus.trust import Trust
from shared.contracts.errors import NotAccepted, NotKnown
from shared.contracts.states import State
from shared.contracts.streams import DISPATCHER_GROUP
from tests.integration.bus.bench import LANE, Bench, until

pytestmark = pytest.mark.integration


async def test_a_full_server_accepts_nothing_and_says_so(bench: Bench) -> None:
    """Merchants hear that nothing was accepted, not that we broke."""
    await bench.client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(NotAccepted):
            await bench.accept("t1")
    finally:
        await bench.client.config_set("maxmemory", "0")
    assert await bench.record("t1") == {}


async def test_an_answer_outlives_a_server_that_takes_no_writes(bench: Bench) -> None:
    """A failover leaves a replica at the old address: the delivery is not forgotten meanwhile."""
    await bench.start("t1", "a", "n1")
    steps = Steps(
        bench.topups,
        Trust(bench.client, bench.topups),
        partition=0,
        provider=LANE,
        owner="a",
        terms=bench.terms,
    )
    outcome = Outcome(
        id="t1", key_hash="", nonce="n1", to=State.SUCCEEDED, reason="",
        provider_reference="ref", evidence=b"",
    )  # fmt: skip
    await bench.client.config_resetstat()
    await bench.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        finishing = asyncio.create_task(steps.finish(outcome))

        async def refused() -> bool:
            return "errorstat_READONLY" in await bench.client.info("errorstats")

        await until(refused)
        assert not finishing.done()
    finally:
        await bench.client.execute_command("REPLICAOF", "NO", "ONE")
    assert await finishing == ("ok", "succeeded")


async def test_an_error_without_a_name_may_have_been_done(bench: Bench) -> None:
    """It is repeated with the same ids, never believed to be a no."""
    await bench.client.set(bench.keys.meta, "not a hash")
    with pytest.raises(NotKnown, match="WRONGTYPE"):
        await bench.accept("t1")
    await bench.client.delete(bench.keys.meta)


async def test_a_takeover_loads_the_functions_where_they_are_lost(bench: Bench) -> None:
    """A server without them, and without traffic, would keep what the dead left for ever."""
    await bench.accept("t1")
    await bench.deliver("dead")
    await bench.client.execute_command("FUNCTION", "FLUSH")
    reader = GroupReader(bench.client, group=DISPATCHER_GROUP, consumer="b")
    (entry,) = await reader.claim(bench.stream, bench.keys.alive, count_max=10)
    assert entry.fields["id"] == b"t1"


async def test_a_field_whose_name_is_no_text_hides_no_other_entry(bench: Bench) -> None:
    """Whoever wrote it: the entry can be read, and buried."""
    await bench.client.xadd(bench.stream, {b"\xff": b"x"})
    await bench.accept("t1")
    reader = GroupReader(bench.client, group=DISPATCHER_GROUP, consumer="a")
    odd, good = await reader.read([bench.stream], count_max=10, block_ms=None)
    assert (odd.fields, good.fields["id"]) == ({"\ufffd": b"x"}, b"t1")
    assert await bench.bury("", odd.id) == "lost"
    assert set(await bench.pending()) == {good.id}


async def test_what_is_lost_is_found_behind_many_that_are_not(bench: Bench) -> None:
    """The server looks at a page for each call; the search goes on to the last of them."""
    ids = [f"t{number:03}" for number in range(40)]
    await bench.accept(*ids)
    last = (await bench.deliver("a"))[ids[-1]]
    await bench.client.xclaim(
        bench.stream, DISPATCHER_GROUP, "a", 0, [last.id], idle=90_000, justid=True
    )
    reader = GroupReader(bench.client, group=DISPATCHER_GROUP, consumer="b")
    found = await reader.claim_lost(bench.stream, idle_ms=60_000, count_max=1)
    assert [entry.id for entry in found] == [last.id]


async def test_an_entry_that_names_a_topup_of_another_lane_is_buried_alone(bench: Bench) -> None:
    """It does not come back for ever, and what it names goes on in its own lane."""
    await bench.accept("t1")
    await bench.deliver("a")
    await bench.client.hset(bench.keys.record("t1"), "lane", "OTHER")
    (entry,) = await bench.pending()
    assert await bench.bury("t1", entry) == "lost"
    assert await bench.pending() == {}
    assert await bench.state("t1") == "queued"
    assert await bench.dead() == [("t1", "why")]


async def test_one_item_that_breaks_leaves_the_others_of_its_batch(bench: Bench) -> None:
    """It alone gets an error for a reply."""
    await bench.client.set(bench.keys.record("t2"), "not a hash")
    first, second, third = await bench.accept("t1", "t2", "t3")
    assert isinstance(second, ItemFailed)
    assert not isinstance(first, ItemFailed)
    assert not isinstance(third, ItemFailed)
    await bench.client.delete(bench.keys.record("t2"))
