"""Taking over: who is alive is left alone, and what may have been sent is never sent blindly."""

import pytest

from shared.bus.messages import Begun
from shared.bus.reader import GroupReader
from shared.contracts.states import State
from shared.contracts.streams import DISPATCHER_GROUP
from tests.integration.bus.bench import (
    DEDUPE_WINDOW_MS,
    LEASE_MS,
    QUARANTINE_MS,
    SLACK_MS,
    Bench,
)

pytestmark = pytest.mark.integration
KINDS = ["neither", "inquiry", "dedupes", "dedupes+inquiry"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_live_attempt_is_left_alone(bench: Bench, kind: str) -> None:
    """Its owner beats: busy, until its lease ends at the latest."""
    bench.kind = kind
    await bench.start("t1", "a")
    begun = await bench.begin("t1", "b", "n2")
    assert begun.status == "busy"
    assert LEASE_MS - SLACK_MS < begun.after_ms <= LEASE_MS
    assert (await bench.record("t1"))["owner"] == "a"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_owner_does_not_take_over_from_itself(bench: Bench, kind: str) -> None:
    """Its own task may still be sending, however old its beat is."""
    bench.kind = kind
    await bench.start("t1", "a", "n1")
    await bench.silence("a")
    assert (await bench.begin("t1", "a", "n2")).status == "busy"


async def test_a_silent_send_that_nobody_can_ask_about_waits_for_its_lease(bench: Bench) -> None:
    """The sender may be stopped and go on."""
    await bench.start("t1", "a")
    await bench.silence("a")
    assert (await bench.begin("t1", "b", "n2")).status == "busy"
    assert (await bench.record("t1")).get("doubt", "") == ""


async def test_a_dead_send_that_nobody_can_ask_about_is_unresolved(bench: Bench) -> None:
    """Never sent again; people decide, after the quarantine."""
    await bench.start("t1", "a", "n1")
    lease_until = int((await bench.record("t1"))["lease_until"])
    await bench.pass_time(LEASE_MS + 1)
    assert await bench.begin("t1", "b", "n2") == Begun("unresolved")
    record = await bench.record("t1")
    assert (record["state"], record["doubt"]) == ("unresolved", "n1")
    assert int(record["quarantine_until"]) == lease_until - LEASE_MS - 1 + QUARANTINE_MS
    assert await bench.outcomes("t1") == [(1, "unresolved")]
    assert await bench.pending() == {}


async def test_a_dead_send_where_a_repeat_is_harmless_is_sent_again(bench: Bench) -> None:
    """Within the dedupe window, as soon as its owner is silent."""
    bench.kind = "dedupes"
    await bench.start("t1", "a", "n1")
    await bench.silence("a")
    assert await bench.begin("t1", "b", "n2") == Begun("send", LEASE_MS, 2, 2)
    record = await bench.record("t1")
    assert (record["owner"], record["doubt"]) == ("b", "n1")


@pytest.mark.parametrize(
    ("kind", "expected"), [("dedupes", "unresolved"), ("dedupes+inquiry", "inquire_final")]
)
async def test_nothing_is_sent_again_once_the_provider_forgets(
    bench: Bench, kind: str, expected: str
) -> None:
    """The whole lease must fit into the dedupe window."""
    bench.kind = kind
    await bench.start("t1", "a", "n1")
    await bench.pass_time(DEDUPE_WINDOW_MS - LEASE_MS)
    assert (await bench.begin("t1", "b", "n2")).status == expected


async def test_the_last_moment_to_send_again_is_a_lease_before_the_window_ends(
    bench: Bench,
) -> None:
    """So that also the slowest send is inside of it."""
    bench.kind = "dedupes"
    await bench.start("t1", "a", "n1")
    await bench.pass_time(DEDUPE_WINDOW_MS - LEASE_MS - SLACK_MS)
    assert (await bench.begin("t1", "b", "n2")).status == "send"


async def test_a_dead_send_that_can_be_asked_about_is_asked_about(bench: Bench) -> None:
    """At once for a yes; a no is not final before the quarantine is over."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.silence("a")
    assert (await bench.begin("t1", "b", "n2")).status == "inquire"
    assert (await bench.record("t1"))["doubt"] == "n1"
    assert await bench.finish("t1", "n2", State.FAILED) == ("not_yet", "active")


async def test_after_the_quarantine_the_question_is_final(bench: Bench) -> None:
    """Lease and quarantine are over: what has not arrived by now never will."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.pass_time(LEASE_MS + QUARANTINE_MS - SLACK_MS)
    assert (await bench.begin("t1", "b", "n2")).status == "inquire"
    await bench.silence("b")
    await bench.pass_time(SLACK_MS + 1)
    assert (await bench.begin("t1", "c", "n3")).status == "inquire_final"
    assert await bench.finish("t1", "n3", State.FAILED) == ("ok", "failed")


async def test_a_silent_question_is_taken_over_at_once_and_adds_no_doubt(bench: Bench) -> None:
    """A question pays nothing."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.silence("a")
    await bench.begin("t1", "b", "n2")
    quarantine = (await bench.record("t1"))["quarantine_until"]
    assert (await bench.begin("t1", "c", "n3")).status == "busy"
    await bench.silence("b")
    assert (await bench.begin("t1", "c", "n3")).status == "inquire"
    record = await bench.record("t1")
    assert (record["doubt"], record["quarantine_until"]) == ("n1", quarantine)


async def test_two_lost_sends_are_many_and_the_later_quarantine_counts(bench: Bench) -> None:
    """Then no single answer can speak for all."""
    bench.kind = "dedupes"
    await bench.start("t1", "a", "n1")
    await bench.silence("a")
    await bench.begin("t1", "b", "n2")
    second = int((await bench.record("t1"))["lease_until"])
    await bench.silence("b")
    await bench.begin("t1", "c", "n3")
    record = await bench.record("t1")
    assert record["doubt"] == "many"
    assert int(record["quarantine_until"]) == second + QUARANTINE_MS


async def test_a_lease_from_a_clock_that_went_back_is_cut(bench: Bench) -> None:
    """It ends within one lease from now, however far ahead it was written."""
    await bench.start("t1", "a", "n1")
    await bench.pass_time(-10 * LEASE_MS)
    await bench.silence("a")
    begun = await bench.begin("t1", "b", "n2")
    assert begun.status == "busy"
    assert begun.after_ms <= LEASE_MS
    await bench.pass_time(LEASE_MS + 1)
    assert await bench.begin("t1", "b", "n2") == Begun("unresolved")


async def test_a_beat_from_the_future_is_silence(bench: Bench) -> None:
    """The clock has gone back: the living beat anew, the dead must not look alive till then."""
    bench.kind = "dedupes"
    await bench.start("t1", "a", "n1")
    ahead = await bench.topups.now_ms() + 3_600_000
    await bench.client.zadd(bench.keys.alive, {"a": ahead})
    reader = GroupReader(bench.client, group=DISPATCHER_GROUP, consumer="b")
    (entry,) = await reader.claim(bench.stream, bench.keys.alive, count_max=10)
    assert (await bench.begin("t1", "b", "n2", entry=entry.id)).status == "send"
