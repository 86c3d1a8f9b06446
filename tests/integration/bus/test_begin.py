"""Begin: the attempt is written down before any money moves, and only one is allowed at a time."""

import pytest

from shared.bus.messages import Begun, ItemFailed, Work
from shared.contracts.states import State
from tests.integration.bus.bench import (
    BODY,
    DELIVER_BEFORE_MS,
    LANE,
    LEASE_MS,
    SLACK_MS,
    WINDOW_MS,
    Bench,
)

pytestmark = pytest.mark.integration


async def test_an_attempt_is_on_disk_with_owner_nonce_and_lease(bench: Bench) -> None:
    """What is answered `send` can be found by whoever comes after."""
    before = await bench.topups.now_ms()
    assert await bench.start("t1", "a", "n1") == Begun("send", LEASE_MS, 1, 1)
    record = await bench.record("t1")
    assert (record["state"], record["owner"], record["nonce"]) == ("active", "a", "n1")
    assert (record["mode"], record["attempt"]) == ("send", "1")
    assert before + LEASE_MS <= int(record["lease_until"]) < before + LEASE_MS + SLACK_MS
    assert int(record["first_send_at"]) == int(record["lease_until"]) - LEASE_MS


async def test_begin_is_a_heartbeat(bench: Bench) -> None:
    """Nobody who has just begun looks dead."""
    before = await bench.topups.now_ms()
    await bench.start("t1", "a")
    assert await bench.client.zscore(bench.keys.alive, "a") >= before


async def test_the_same_nonce_gets_the_same_answer_again(bench: Bench) -> None:
    """The answer was lost: one attempt, and no new lease."""
    await bench.start("t1", "a", "n1")
    await bench.pass_time(LEASE_MS // 2)
    repeated = await bench.begin("t1", "a", "n1")
    assert (repeated.status, repeated.attempt) == ("send", 1)
    assert LEASE_MS // 2 - SLACK_MS < repeated.after_ms <= LEASE_MS // 2


async def test_a_repeated_answer_never_grants_time_that_is_over(bench: Bench) -> None:
    """Zero is left of a lease that has ended."""
    await bench.start("t1", "a", "n1")
    await bench.pass_time(LEASE_MS + 1)
    assert await bench.begin("t1", "a", "n1") == Begun("send", 0, 1, 1)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.UNRESOLVED])
async def test_what_is_settled_is_never_begun(bench: Bench, state: State) -> None:
    """The entry is acknowledged, and that is all."""
    await bench.start("t1", "a", "n1")
    entry = (await bench.record("t1"))["entry"]
    await bench.finish("t1", "n1", state)
    assert await bench.begin("t1", "b", "n2", entry=entry) == Begun("settled")
    assert await bench.state("t1") == state


async def test_a_settled_topup_that_is_delivered_later_leaves_nothing_pending(
    bench: Bench,
) -> None:
    """It was settled while its entry was unread."""
    await bench.accept("t1")
    await bench.finish("t1", "", State.SUCCEEDED)
    entry = (await bench.deliver("a"))["t1"].id
    assert list(await bench.pending()) == [entry]
    assert await bench.begin("t1", "a", "n1", entry=entry) == Begun("settled")
    assert await bench.pending() == {}


async def test_an_entry_that_the_record_does_not_name_is_a_duplicate(bench: Bench) -> None:
    """One carrier: the other is acknowledged, the topup stays where it is."""
    await bench.accept("t1")
    await bench.client.xadd(bench.stream, {"id": "t1", "body": b"", "key": b"", "at": b"1"})
    entries = [row[0].decode() for row in await bench.client.xrange(bench.stream)]
    await bench.deliver("a")
    assert await bench.begin("t1", "a", "n1", entry=entries[1]) == Begun("duplicate")
    assert list(await bench.pending()) == entries[:1]
    assert await bench.state("t1") == "queued"
    assert (await bench.begin("t1", "a", "n2", entry=entries[0])).status == "send"


async def test_the_entry_of_a_parked_topup_is_a_duplicate(bench: Bench) -> None:
    """A late delivery does not start what waits."""
    await bench.start("t1", "a", "n1")
    entry = (await bench.record("t1"))["entry"]
    await bench.park("t1", "n1", "no")
    assert await bench.begin("t1", "b", "n2", entry=entry) == Begun("duplicate")
    assert await bench.state("t1") == "waiting"


async def test_an_entry_without_a_record_is_never_sent(bench: Bench) -> None:
    """Lost: acknowledged, with a copy for people."""
    entry = await bench.client.xadd(bench.stream, {"id": "ghost", "body": b"", "key": b""})
    await bench.deliver("a")
    assert await bench.begin("ghost", "a", "n1", entry=entry.decode()) == Begun("lost")
    assert await bench.pending() == {}
    assert await bench.dead() == [("ghost", "lost")]


async def test_what_ended_long_ago_is_not_lost(bench: Bench) -> None:
    """Its lane was held for longer than a record is kept: nothing is told of it a second time.

    Nor is it passed over in silence: the word is counted and logged as such.
    """
    long_ago = await bench.topups.now_ms() - WINDOW_MS - SLACK_MS
    fields = {"id": "gone", "body": BODY}
    old = await bench.client.xadd(bench.stream, fields, id=f"{long_ago}-0")
    await bench.deliver("a")
    assert await bench.begin("gone", "a", "n1", entry=old.decode()) == Begun("forgotten")
    assert await bench.pending() == {}
    assert await bench.dead() == []


async def test_a_topup_that_was_never_sent_expires(bench: Bench) -> None:
    """Past its deadline it fails, once, and is off its lane."""
    await bench.accept("t1")
    await bench.deliver("a")
    await bench.pass_time(DELIVER_BEFORE_MS + 1)
    assert await bench.begin("t1", "a", "n1") == Begun("expired")
    record = await bench.record("t1")
    assert (record["state"], record["reason"]) == ("failed", "expired")
    assert await bench.outcomes("t1") == [(1, "failed")]
    assert await bench.pending() == {}


@pytest.mark.parametrize("kind", ["dedupes", "inquiry", "neither"])
async def test_a_topup_in_doubt_never_expires(bench: Bench, kind: str) -> None:
    """It may have been paid: the deadline says nothing about that."""
    bench.kind = kind
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    await bench.pass_time(DELIVER_BEFORE_MS + 1)
    begun = await bench.again("t1", "a", "n2")
    assert begun.status != "expired"
    assert await bench.state("t1") != "failed"


async def test_the_deadline_ends_what_was_surely_not_sent(bench: Bench) -> None:
    """Also after attempts, if all of them ended with a definite no."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "no")
    await bench.pass_time(DELIVER_BEFORE_MS + 1)
    assert await bench.again("t1", "a", "n2") == Begun("expired")


async def test_attempts_are_counted_and_the_first_send_is_remembered(bench: Bench) -> None:
    """The dedupe window runs from the first send."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "no")
    await bench.pass_time(1_000)
    first = (await bench.record("t1"))["first_send_at"]
    assert await bench.again("t1", "a", "n2") == Begun("send", LEASE_MS, 2, 2)
    assert (await bench.record("t1"))["first_send_at"] == first


async def test_an_expired_topup_is_not_revived_by_its_repeat(bench: Bench) -> None:
    """The same begin again is told that it is settled."""
    await bench.accept("t1")
    entry = (await bench.deliver("a"))["t1"].id
    await bench.pass_time(DELIVER_BEFORE_MS + 1)
    await bench.begin("t1", "a", "n1", entry=entry)
    assert await bench.begin("t1", "a", "n1", entry=entry) == Begun("settled")
    assert await bench.outcomes("t1") == [(1, "failed")]


async def test_an_entry_that_is_none_costs_nobody_else_a_reply(bench: Bench) -> None:
    """It fails alone; what the others were told is done, and acknowledged."""
    await bench.accept("t1", "t2")
    entries = await bench.deliver("a")
    await bench.start("t3", "a", "n3")
    ended = (await bench.record("t3"))["entry"]
    await bench.finish("t3", "n3", State.SUCCEEDED)
    await bench.deliver("a")
    named = {"t1": entries["t1"].id, "t2": "no entry", "none": "nor this", "t3": ended}
    items = [
        Work(id=topup_id, entry=entry, key_hash="", nonce=f"n-{topup_id}")
        for topup_id, entry in named.items()
    ]
    first, second, third, fourth = await bench.topups.begin(
        0, LANE, items, owner="a", terms=bench.terms
    )
    assert first == Begun("send", LEASE_MS, 1, 1)
    assert second == Begun("duplicate")
    assert isinstance(third, ItemFailed)
    assert fourth == Begun("settled")
    assert set(await bench.pending()) == {entries["t1"].id, entries["t2"].id}


async def test_a_counter_that_is_none_costs_nobody_a_reply(bench: Bench) -> None:
    """It is worth less than what a topup was told."""
    await bench.client.hset(bench.keys.counters, "queued", "many")
    (accepted,) = await bench.accept("t1")
    assert not isinstance(accepted, ItemFailed)
    assert accepted.status == "accepted"
    assert (await bench.start("t2")).status == "send"
    await bench.client.hset(bench.keys.counters, "queued", "1")
