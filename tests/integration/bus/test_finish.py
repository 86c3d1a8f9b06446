"""Finish: a yes counts from anyone, a no only from who knows, and the end is told once."""

import pytest

from shared.contracts.acts import act_by
from shared.contracts.states import State
from tests.integration.bus.bench import (
    LEASE_MS,
    QUARANTINE_MS,
    SLACK_MS,
    WINDOW_MS,
    Bench,
)

pytestmark = pytest.mark.integration

SUCCEEDED, FAILED, UNRESOLVED = State.SUCCEEDED, State.FAILED, State.UNRESOLVED
ENDS = [SUCCEEDED, FAILED, UNRESOLVED]


@pytest.mark.parametrize("to", ENDS)
async def test_state_outcome_and_acknowledgement_are_one_step(bench: Bench, to: State) -> None:
    """Nothing is left on the lane; the outcome has all that the ledger needs."""
    await bench.start("t1", "a", "n1")
    assert await bench.finish("t1", "n1", to, reason="why") == ("ok", to)
    record = await bench.record("t1")
    assert (record["state"], record["seq"], record["reason"]) == (to, "1", "why")
    assert record["ref"] == "ref"
    assert {"entry", "owner", "mode", "lease_until"}.isdisjoint(record)
    assert await bench.pending() == {}
    ((_, outcome),) = await bench.client.xrange(bench.keys.outcomes)
    assert outcome[b"id"] == b"t1"
    assert (outcome[b"seq"], outcome[b"state"]) == (b"1", to.encode())
    assert outcome[b"body"].decode() == record["body"]
    assert outcome[b"at"].decode() == record["at"]
    assert (outcome[b"reason"], outcome[b"evidence"]) == (b"why", b"evidence")


@pytest.mark.parametrize("to", [SUCCEEDED, FAILED])
async def test_what_is_final_is_kept_for_the_idempotency_window(bench: Bench, to: State) -> None:
    """And no longer; what only an open topup needs is dropped at once."""
    await bench.start("t1", "a", "n1")
    await bench.finish("t1", "n1", to)
    left = await bench.client.pttl(bench.keys.record("t1"))
    assert WINDOW_MS - SLACK_MS < left <= WINDOW_MS
    kept = set(await bench.record("t1"))
    assert {"deliver_before", "first_send_at", "quarantine_until"}.isdisjoint(kept)


async def test_what_is_unresolved_is_kept_until_it_is_resolved(bench: Bench) -> None:
    """Its record is the only place that knows the quarantine."""
    await bench.start("t1", "a", "n1")
    await bench.finish("t1", "n1", UNRESOLVED)
    assert await bench.client.pttl(bench.keys.record("t1")) == -1


@pytest.mark.parametrize("to", ENDS)
async def test_the_same_answer_again_is_told_once(bench: Bench, to: State) -> None:
    """No answer to finish: repeat it; it is ok, and one outcome."""
    await bench.start("t1", "a", "n1")
    await bench.finish("t1", "n1", to)
    assert await bench.finish("t1", "n1", to) == ("ok", to)
    assert await bench.outcomes("t1") == [(1, to)]


async def test_an_answer_after_the_end_from_another_attempt_is_settled(bench: Bench) -> None:
    """It changes nothing."""
    await bench.start("t1", "a", "n1")
    await bench.finish("t1", "n1", SUCCEEDED)
    assert await bench.finish("t1", "other", FAILED) == ("settled", "succeeded")
    assert await bench.finish("t1", "other", SUCCEEDED) == ("settled", "succeeded")
    assert await bench.state("t1") == "succeeded"


@pytest.mark.parametrize("state", ["queued", "active", "waiting", "unresolved"])
async def test_delivered_counts_at_once_from_anyone_in_any_state(bench: Bench, state: str) -> None:
    """Money did leave: any nonce will do."""
    await bench.accept("t1")
    if state != "queued":
        await bench.deliver("a")
        await bench.begin("t1", "a", "n1")
    if state == "waiting":
        await bench.park("t1", "n1", "no")
    if state == "unresolved":
        await bench.finish("t1", "n1", UNRESOLVED)
    assert await bench.state("t1") == state
    assert await bench.finish("t1", "unheard-of", SUCCEEDED) == ("ok", "succeeded")
    assert await bench.client.zcard(bench.keys.waiting) == 0
    assert await bench.pending() == {}


async def test_delivered_for_a_failed_one_is_put_before_people(bench: Bench) -> None:
    """A final state never changes; somebody must be paged."""
    await bench.start("t1", "a", "n1")
    await bench.finish("t1", "n1", FAILED)
    assert await bench.finish("t1", "n1", SUCCEEDED) == ("contradiction", "failed")
    assert await bench.dead() == [("t1", "contradiction")]
    assert await bench.state("t1") == "failed"


@pytest.mark.parametrize("to", [FAILED, UNRESOLVED])
async def test_a_no_of_another_nonce_is_fenced(bench: Bench, to: State) -> None:
    """Only the owner of the attempt may say it."""
    await bench.start("t1", "a", "n1")
    assert await bench.finish("t1", "n0", to) == ("fenced", "active")
    assert await bench.state("t1") == "active"


async def test_a_no_of_an_attempt_that_was_parked_is_fenced(bench: Bench) -> None:
    """It has given its right away."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "no")
    assert await bench.finish("t1", "n1", FAILED) == ("fenced", "waiting")


async def test_a_no_to_a_second_send_does_not_speak_for_the_first(bench: Bench) -> None:
    """The first may still have paid: unresolved, whatever is repeated."""
    bench.kind = "dedupes"
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    await bench.again("t1", "a", "n2")
    assert await bench.finish("t1", "n2", FAILED) == ("ok", "unresolved")
    assert await bench.finish("t1", "n2", FAILED) == ("ok", "unresolved")
    assert await bench.outcomes("t1") == [(1, "unresolved")]


async def test_a_no_to_a_second_send_counts_where_refusals_cover_the_first(bench: Bench) -> None:
    """The provider looks the reference up before anything else."""
    bench.kind, bench.covers = "dedupes", True
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    await bench.again("t1", "a", "n2")
    assert await bench.finish("t1", "n2", FAILED) == ("ok", "failed")


async def test_a_no_to_an_early_question_is_not_yet_believed(bench: Bench) -> None:
    """The topup stays with its owner, who parks it."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    assert (await bench.again("t1", "a", "n2")).status == "inquire"
    assert await bench.finish("t1", "n2", FAILED) == ("not_yet", "active")


async def test_a_no_to_a_question_after_the_quarantine_is_believed(bench: Bench) -> None:
    """What was lost has had the time to come to light."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    await bench.pass_time(QUARANTINE_MS + 1)
    assert (await bench.again("t1", "a", "n2")).status == "inquire_final"
    assert await bench.finish("t1", "n2", FAILED) == ("ok", "failed")


async def test_the_late_no_of_the_only_send_in_doubt_counts(bench: Bench) -> None:
    """Its owner was only slow: unresolved becomes failed."""
    await bench.start("t1", "a", "n1")
    await bench.pass_time(LEASE_MS + 1)
    await bench.begin("t1", "b", "n2")
    assert await bench.finish("t1", "n1", FAILED) == ("ok", "failed")
    assert await bench.outcomes("t1") == [(1, "unresolved"), (2, "failed")]


async def test_the_late_no_counts_while_somebody_asks(bench: Bench) -> None:
    """A question pays nothing, so nothing else is in doubt."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.silence("a")
    await bench.begin("t1", "b", "n2")
    assert await bench.finish("t1", "n1", FAILED) == ("ok", "failed")
    assert await bench.finish("t1", "n2", FAILED) == ("ok", "failed")
    assert await bench.outcomes("t1") == [(1, "failed")]


async def test_the_late_no_counts_while_its_topup_is_parked(bench: Bench) -> None:
    """Waiting for the next question."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.silence("a")
    await bench.begin("t1", "b", "n2")
    await bench.park("t1", "n2", "not_found")
    assert await bench.finish("t1", "n1", FAILED) == ("ok", "failed")
    assert await bench.client.zcard(bench.keys.waiting) == 0


async def test_the_late_no_does_not_count_while_another_send_is_out(bench: Bench) -> None:
    """That one may be paying right now."""
    bench.kind = "dedupes"
    await bench.start("t1", "a", "n1")
    await bench.silence("a")
    assert (await bench.begin("t1", "b", "n2")).status == "send"
    assert await bench.finish("t1", "n1", FAILED) == ("fenced", "active")


async def test_the_late_no_of_one_among_many_does_not_count(bench: Bench) -> None:
    """The others are still in doubt."""
    bench.kind = "dedupes"
    await bench.start("t1", "a", "n1")
    for owner, nonce in (("b", "n2"), ("c", "n3")):
        await bench.pass_time(LEASE_MS + 1)
        await bench.begin("t1", owner, nonce)
    await bench.finish("t1", "n3", UNRESOLVED)
    for nonce in ("n1", "n2"):
        assert await bench.finish("t1", nonce, FAILED) == ("fenced", "unresolved")


async def test_a_late_no_counts_after_a_takeover_that_a_held_lane_stopped(bench: Bench) -> None:
    """Somebody wanted to take over but sent nothing: the only send is still this one."""
    bench.kind = "dedupes"
    await bench.start("t1", "a", "n1")
    await bench.lanes.hold("LATCOM", act=act_by("me", why="test"))
    await bench.silence("a")
    assert (await bench.begin("t1", "b", "n2")).status == "held"
    assert await bench.finish("t1", "n1", FAILED) == ("ok", "failed")


async def test_a_send_without_an_answer_is_quarantined_when_it_ends_unresolved(
    bench: Bench,
) -> None:
    """It may have paid, and shows that only later: an early no is not believed."""
    await bench.start("t1", "a", "n1")
    ended = await bench.topups.now_ms()
    await bench.finish("t1", "n1", UNRESOLVED)
    record = await bench.record("t1")
    assert record["doubt"] == "n1"
    assert 0 <= int(record["quarantine_until"]) - ended - QUARANTINE_MS < SLACK_MS


async def test_an_answer_for_a_topup_without_a_record_is_put_before_people(bench: Bench) -> None:
    """It changes nothing else."""
    assert await bench.finish("ghost", "n1", SUCCEEDED) == ("lost", "")
    assert await bench.dead() == [("ghost", "lost")]
