"""A lane that holds itself: what trips it, who may try it, and what opens it again."""

import pytest

from shared.contracts.acts import act_by
from shared.contracts.states import Reason, State
from tests.integration.bus.bench import HOLD_MS, LANE, LEASE_MS, QUARANTINE_MS, Bench

pytestmark = pytest.mark.integration

BREAKER = 3


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """A lane that three failures in a row hold."""
    bench.breaker = BREAKER
    return bench


async def fail(bench: Bench, *ids: str, owner: str = "a") -> None:
    """Let each of these be sent, and no answer come."""
    for topup_id in ids:
        assert (await bench.start(topup_id, owner, f"n-{topup_id}")).status == "send"
        await bench.finish(
            topup_id, f"n-{topup_id}", State.UNRESOLVED, reason=Reason.NO_ANSWER.value
        )


async def trip(bench: Bench) -> None:
    """Hold the lane by failures, with t4 and t5 behind it."""
    await fail(bench, "t1", "t2", "t3")
    await bench.accept("t4", "t5")
    await bench.deliver("a")


async def test_failures_in_a_row_hold_the_lane(bench: Bench) -> None:
    """Whichever replica has them: they are counted where all of them look."""
    await fail(bench, "t1", owner="a")
    await fail(bench, "t2", owner="b")
    assert (await bench.lane()).state == "open"
    await fail(bench, "t3", owner="c")
    lane = await bench.lane()
    assert (lane.state, lane.reason, lane.by) == ("held", "no_answer", "breaker")
    assert (lane.failures, lane.holds) == (BREAKER, 1)
    assert lane.since is not None
    assert lane.until == lane.since + HOLD_MS


@pytest.mark.parametrize(
    ("why", "reason"), [("not_sent", "not_sent"), ("unknown", "no_answer"), ("who knows", "?")]
)
async def test_what_is_put_aside_without_an_answer_counts_too(
    bench: Bench, why: str, reason: str
) -> None:
    """A provider that cannot be reached does not answer either."""
    for number in range(BREAKER):
        await bench.start(f"t{number}", "a", "n1")
        await bench.park(f"t{number}", "n1", why, reason=reason)
    lane = await bench.lane()
    assert (lane.state, lane.reason) == ("held", reason)


@pytest.mark.parametrize("answer", [State.SUCCEEDED, State.FAILED, "no"])
async def test_any_answer_begins_the_count_anew(bench: Bench, answer: str) -> None:
    """It answers: that some topups have none is no reason to stop the others."""
    await fail(bench, "t1", "t2")
    await bench.start("t3", "a", "n1")
    if isinstance(answer, State):
        await bench.finish("t3", "n1", answer)
    else:
        await bench.park("t3", "n1", answer)
    await fail(bench, "t4", "t5")
    assert (await bench.lane()).state == "open"
    await fail(bench, "t6")
    assert (await bench.lane()).state == "held"


@pytest.mark.parametrize("why", ["not_found", "no_proof"])
async def test_an_inquiry_that_finds_nothing_is_an_answer(bench: Bench, why: str) -> None:
    """The provider speaks; only about the send nothing is known, and it stays in doubt."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    await fail(bench, "t2")
    assert (await bench.lane()).failures == 2
    await bench.again("t1", "a", "n2")
    await bench.park("t1", "n2", why)
    assert (await bench.lane()).failures == 0
    assert (await bench.record("t1"))["doubt"] == "n1"


async def test_what_was_never_asked_says_nothing(bench: Bench) -> None:
    """An attempt that was not on all disks in time is our own trouble, not the provider's."""
    for number in range(BREAKER):
        await bench.start(f"t{number}", "a", "n1")
        await bench.park(f"t{number}", "n1", "unasked")
        assert (await bench.record(f"t{number}")).get("doubt", "") == ""
    lane = await bench.lane()
    assert (lane.state, lane.failures) == ("open", 0)


async def test_a_repeated_step_counts_once(bench: Bench) -> None:
    """The answers to finish and park were lost, and they were handed in again."""
    await fail(bench, "t1")
    await bench.finish("t1", "n-t1", State.UNRESOLVED, reason="no_answer")
    await bench.start("t2", "a", "n1")
    for _ in range(2):
        await bench.park("t2", "n1", "unknown")
    assert (await bench.lane()).failures == 2


async def test_without_a_breaker_no_silence_holds_a_lane(bench: Bench) -> None:
    """0 switches it off."""
    bench.breaker = 0
    await fail(bench, *(f"t{number}" for number in range(20)))
    assert (await bench.lane()).state == "open"


# -- half open ---------------------------------------------------------------------------------


async def test_while_it_is_held_nothing_begins(bench: Bench) -> None:
    """No attempt is written down, so nothing can be in doubt."""
    await trip(bench)
    assert (await bench.begin("t4", "a", "n1")).status == "held"
    assert "attempt" not in await bench.record("t4")


async def test_one_topup_tries_it_and_an_answer_opens_it(bench: Bench) -> None:
    """The others wait for that; then all go on, and the count begins anew."""
    await trip(bench)
    await bench.pass_time(HOLD_MS)
    assert (await bench.begin("t4", "a", "n1")).status == "send"
    assert (await bench.lane()).state == "probing"
    assert (await bench.begin("t5", "b", "n1")).status == "held"
    await bench.finish("t4", "n1", State.SUCCEEDED)
    lane = await bench.lane()
    assert (lane.state, lane.by, lane.failures, lane.holds) == ("open", "probe", 0, 0)
    assert (await bench.begin("t5", "b", "n2")).status == "send"


async def test_each_try_without_an_answer_holds_it_for_twice_as_long(bench: Bench) -> None:
    """Up to a bound, which is wider where each try may leave money in doubt."""
    await fail(bench, "t1", "t2", "t3")
    since = (await bench.lane()).since
    holds = [HOLD_MS]
    for number in range(10):
        await bench.pass_time(holds[-1])
        now = await bench.topups.now_ms()
        await fail(bench, f"u{number}")
        lane = await bench.lane()
        assert lane.until is not None
        holds.append(round((lane.until - now) / HOLD_MS) * HOLD_MS)
    assert holds == [HOLD_MS * 2**n for n in range(9)] + [300_000, 300_000]
    assert (await bench.lane()).holds == 11
    assert since is not None


async def test_a_provider_that_cannot_be_reached_is_tried_each_minute(bench: Bench) -> None:
    """That costs nothing: not one of them can have paid."""
    for number in range(BREAKER + 10):
        await bench.start(f"t{number}", "a", "n1")
        await bench.park(f"t{number}", "n1", "not_sent")
        await bench.pass_time(60_000)
    await bench.start("last", "a", "n1")
    now = await bench.topups.now_ms()
    await bench.park("last", "n1", "not_sent")
    until = (await bench.lane()).until
    assert until is not None
    assert 0 <= until - now - 60_000 < 5_000


async def test_a_try_that_asked_nothing_leaves_the_next_one_free(bench: Bench) -> None:
    """The lane does not wait for the end of a lease in which nothing is asked."""
    await trip(bench)
    await bench.pass_time(HOLD_MS)
    await bench.begin("t4", "a", "n1")
    await bench.park("t4", "n1", "unasked", delay_ms=60_000)
    assert (await bench.begin("t5", "a", "n1")).status == "send"
    assert (await bench.lane()).probe == "t5"


async def test_a_try_that_was_lost_is_followed_by_another_one(bench: Bench) -> None:
    """Its dispatcher died: with the lease its right to try is over."""
    await trip(bench)
    await bench.pass_time(HOLD_MS)
    await bench.begin("t4", "a", "n1")
    await bench.pass_time(LEASE_MS)
    assert (await bench.begin("t5", "b", "n1")).status == "send"


async def test_an_inquiry_may_be_the_try(bench: Bench) -> None:
    """Its answer opens the lane as any other."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    await fail(bench, "t2", "t3")
    await bench.pass_time(QUARANTINE_MS + 1)
    assert (await bench.again("t1", "a", "n2")).status == "inquire_final"
    await bench.finish("t1", "n2", State.SUCCEEDED)
    assert (await bench.lane()).state == "open"


# -- the provider's own no, and people's ---------------------------------------------------------


async def test_a_refused_account_holds_the_lane_at_once(bench: Bench) -> None:
    """With the provider's words, and whatever was counted."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "hold", reason="account refused: 51: no credit")
    lane = await bench.lane()
    assert (lane.state, lane.by) == ("held", "provider")
    assert (lane.reason, lane.failures) == ("account refused: 51: no credit", 0)


@pytest.mark.parametrize("why", ["hold", "unknown"])
async def test_what_people_hold_no_answer_changes(bench: Bench, why: str) -> None:
    """Answers to what was under way come in; the lane stays held, with their reason."""
    for number in range(BREAKER):
        await bench.start(f"t{number}", "a", "n1")
    await bench.lanes.hold(LANE, act=act_by("ana", why="strike"))
    for number in range(BREAKER):
        await bench.park(f"t{number}", "n1", why)
    lane = await bench.lane()
    assert (lane.state, lane.reason, lane.by, lane.until) == ("held", "strike", "ana", None)


async def test_a_lane_that_people_hold_for_a_while_is_tried_after_it(bench: Bench) -> None:
    """By one topup; silence then is the breaker's matter."""
    until = await bench.topups.now_ms() + 60_000
    await bench.lanes.hold(LANE, act=act_by("ana", why="strike"), until_ms=until)
    await bench.accept("t1", "t2")
    await bench.deliver("a")
    assert (await bench.begin("t1", "a", "n1")).status == "held"
    await bench.pass_time(60_000)
    assert (await bench.begin("t1", "a", "n1")).status == "send"
    assert (await bench.begin("t2", "a", "n1")).status == "held"
    await bench.finish("t1", "n1", State.UNRESOLVED, reason="no_answer")
    lane = await bench.lane()
    assert (lane.state, lane.reason, lane.by, lane.holds) == ("held", "no_answer", "breaker", 1)


async def test_however_many_wait_behind_a_held_lane_looking_at_them_is_bounded(
    bench: Bench,
) -> None:
    """Five a millisecond at most, so that they cost the other lanes next to nothing."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "no")
    await bench.lanes.hold(LANE, act=act_by("ana", why="strike"))
    far = await bench.topups.now_ms() + 3_600_000
    await bench.client.zadd(bench.keys.waiting, {f"x{number}": far for number in range(50_000)})
    assert await bench.wake() == {"held": 1}
    assert 9_000 < await bench.due_in_ms("t1") <= 10_001
