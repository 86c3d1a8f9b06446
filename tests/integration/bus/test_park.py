"""Park, wake and expire: a topup that waits has one carrier, and comes back when it is due."""

import pytest

from shared.bus.carried import Carried
from shared.bus.messages import Begun
from shared.contracts.acts import act_by
from shared.contracts.states import State
from tests.integration.bus.bench import (
    DELIVER_BEFORE_MS,
    LANE,
    LEASE_MS,
    QUARANTINE_MS,
    SLACK_MS,
    Bench,
    write_lane,
)

pytestmark = pytest.mark.integration


async def test_a_parked_topup_leaves_its_lane_for_the_waiting(bench: Bench) -> None:
    """The entry is acknowledged in the same step; nobody owns it."""
    await bench.start("t1", "a", "n1")
    assert await bench.park("t1", "n1", "no", delay_ms=120_000, reason="busy") == ("ok", 120_000)
    record = await bench.record("t1")
    assert (record["state"], record["reason"]) == ("waiting", "busy")
    assert {"entry", "owner", "mode", "lease_until"}.isdisjoint(record)
    assert 120_000 - SLACK_MS < await bench.due_in_ms("t1") <= 120_000
    assert await bench.pending() == {}
    assert await bench.wake() == {}


@pytest.mark.parametrize("why", ["no", "not_sent", "hold"])
async def test_a_definite_no_leaves_nothing_in_doubt(bench: Bench, why: str) -> None:
    """It may be sent again by any provider."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", why)
    assert (await bench.record("t1")).get("doubt", "") == ""
    await bench.lanes.release(LANE, act=act_by("me", why=""))
    assert await bench.again("t1", "b", "n2") == Begun("send", LEASE_MS, 2, 2)


@pytest.mark.parametrize("why", ["unknown", "not_found", "anything else"])
async def test_whatever_is_not_a_definite_no_to_a_send_is_in_doubt(bench: Bench, why: str) -> None:
    """For a quarantine from now on."""
    await bench.start("t1", "a", "n1")
    now = await bench.topups.now_ms()
    await bench.park("t1", "n1", why)
    record = await bench.record("t1")
    assert record["doubt"] == "n1"
    assert 0 <= int(record["quarantine_until"]) - now - QUARANTINE_MS < SLACK_MS


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("neither", "unresolved"),
        ("inquiry", "inquire"),
        ("dedupes", "send"),
        ("dedupes+inquiry", "send"),
    ],
)
async def test_what_follows_an_unknown_depends_on_the_kind(
    bench: Bench, kind: str, mode: str
) -> None:
    """Sent again, asked about, or given to people."""
    bench.kind = kind
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    assert (await bench.again("t1", "b", "n2")).status == mode


async def test_a_definite_no_to_a_second_send_keeps_the_first_in_doubt(bench: Bench) -> None:
    """It says nothing about the first."""
    bench.kind = "dedupes"
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    await bench.again("t1", "a", "n2")
    await bench.park("t1", "n2", "no")
    assert (await bench.record("t1"))["doubt"] == "n1"


async def test_a_question_is_about_the_last_send(bench: Bench) -> None:
    """However many questions came after it, and refused sends before it."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "no")
    assert await bench.again("t1", "a", "n2") == Begun("send", LEASE_MS, 2, 2)
    await bench.park("t1", "n2", "unknown")
    assert await bench.again("t1", "a", "n3") == Begun("inquire", LEASE_MS, 3, 2)
    await bench.park("t1", "n3", "unknown")
    assert await bench.again("t1", "a", "n4") == Begun("inquire", LEASE_MS, 4, 2)
    assert (await bench.begin("t1", "a", "n4")).sent == 2, "a lost answer is given again"
    await bench.finish("t1", "n4", State.SUCCEEDED)
    assert "sent" not in await bench.record("t1")


async def test_an_early_not_found_waits_for_the_quarantine(bench: Bench) -> None:
    """Asking again before cannot give a no that counts."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    await bench.again("t1", "a", "n2")
    reply, delay_ms = await bench.park("t1", "n2", "not_found", delay_ms=5)
    assert reply == "ok"
    assert QUARANTINE_MS - SLACK_MS < delay_ms <= QUARANTINE_MS
    assert (await bench.record("t1"))["doubt"] == "n1"


async def test_not_found_after_the_quarantine_ends_the_doubt(bench: Bench) -> None:
    """It never arrived: it is sent again, as if for the first time."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    await bench.pass_time(QUARANTINE_MS + 1)
    assert (await bench.again("t1", "a", "n2")).status == "inquire_final"
    assert await bench.park("t1", "n2", "not_found") == ("ok", 0)
    assert "doubt" not in await bench.record("t1")
    assert (await bench.again("t1", "a", "n3")).status == "send"


@pytest.mark.parametrize("why", ["unknown", "no", "not_sent"])
async def test_only_not_found_ends_a_doubt(bench: Bench, why: str) -> None:
    """A question that failed, however, says nothing."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    await bench.pass_time(QUARANTINE_MS + 1)
    await bench.again("t1", "a", "n2")
    await bench.park("t1", "n2", why)
    assert (await bench.record("t1"))["doubt"] == "n1"


async def test_another_nonce_parks_nothing(bench: Bench) -> None:
    """Fenced."""
    await bench.start("t1", "a", "n1")
    assert await bench.park("t1", "n0", "no") == ("fenced", 0)
    assert await bench.state("t1") == "active"


async def test_what_is_settled_or_queued_cannot_be_parked(bench: Bench) -> None:
    """Only an attempt can be put aside."""
    await bench.accept("t1")
    assert await bench.park("t1", "", "no") == ("fenced", 0)
    await bench.finish("t1", "n1", State.SUCCEEDED)
    assert await bench.park("t1", "n1", "no") == ("fenced", 0)


async def test_parking_again_with_the_same_nonce_is_ok_and_moves_nothing(bench: Bench) -> None:
    """The answer to park was lost."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "no", delay_ms=120_000)
    before = await bench.snapshot()
    assert (await bench.park("t1", "n1", "no", delay_ms=1))[0] == "ok"
    assert await bench.snapshot() == before


async def test_what_has_no_record_cannot_be_parked(bench: Bench) -> None:
    """Lost, with a copy for people."""
    assert await bench.park("ghost", "n1", "no") == ("lost", 0)
    assert await bench.dead() == [("ghost", "lost")]


# -- wake ------------------------------------------------------------------------------------------


async def test_what_is_due_goes_back_on_its_lane_with_all_it_had(bench: Bench) -> None:
    """A new entry, marked as such, is its only carrier."""
    await bench.accept("t1", key="k1")
    await bench.deliver("a")
    await bench.begin("t1", "a", "n1", key="k1")
    await bench.park("t1", "n1", "no", delay_ms=120_000)
    assert await bench.wake() == {}
    await bench.pass_time(120_000)
    assert await bench.wake() == {"woken": 1}
    _, (second, fields) = await bench.client.xrange(bench.stream)
    assert (await bench.record("t1"))["entry"] == second.decode()
    assert await bench.state("t1") == "queued"
    assert await bench.client.zcard(bench.keys.waiting) == 0
    record = await bench.record("t1")
    assert {name.decode(): value.decode() for name, value in fields.items()} == {
        "id": "t1", "body": record["body"], "at": record["at"], "again": "1"
    }  # fmt: skip


async def test_waking_twice_makes_one_entry(bench: Bench) -> None:
    """Every dispatcher wakes, on a timer of its own."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "no")
    assert await bench.topups._each("wake", 0, LANE, [Carried("t1", "", ())]) == ["woken"]
    assert await bench.topups._each("wake", 0, LANE, [Carried("t1", "", ())]) == ["no"]
    assert await bench.client.xlen(bench.stream) == 2


@pytest.mark.parametrize("state", ["queued", "active", "succeeded", "ghost"])
async def test_only_what_waits_is_woken(bench: Bench, state: str) -> None:
    """Whatever the caller believes."""
    if state != "ghost":
        await bench.accept("t1")
    if state in ("active", "succeeded"):
        await bench.deliver("a")
        await bench.begin("t1", "a", "n1")
    if state == "succeeded":
        await bench.finish("t1", "n1", State.SUCCEEDED)
    await bench.client.zadd(bench.keys.waiting, {"t1": 1})
    assert await bench.topups._each("wake", 0, LANE, [Carried("t1", "", ())]) == ["no"]


async def test_what_waits_behind_a_held_lane_is_looked_at_again_later(bench: Bench) -> None:
    """It is not woken, and does not keep the timer busy."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "no")
    await bench.lanes.hold(LANE, act=act_by("me", why="test"))
    assert await bench.wake() == {"held": 1}
    assert await bench.wake() == {}
    assert await bench.state("t1") == "waiting"
    assert await bench.due_in_ms("t1") <= 5_000
    await bench.lanes.release(LANE, act=act_by("me", why=""))
    await bench.pass_time(5_000)
    assert await bench.wake() == {"woken": 1}


async def test_what_waits_behind_a_held_lane_still_expires(bench: Bench) -> None:
    """A deadline does not wait for the provider."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "no")
    await bench.lanes.hold(LANE, act=act_by("me", why="test"))
    await bench.pass_time(DELIVER_BEFORE_MS + 1)
    assert await bench.wake() == {"expired": 1}
    assert await bench.state("t1") == "failed"
    assert await bench.client.zcard(bench.keys.waiting) == 0


async def test_what_is_in_doubt_does_not_expire_behind_a_held_lane(bench: Bench) -> None:
    """It waits for the answer."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    await bench.lanes.hold(LANE, act=act_by("me", why="test"))
    await bench.pass_time(DELIVER_BEFORE_MS + 1)
    assert await bench.wake() == {"held": 1}


async def test_a_lane_due_for_a_probe_wakes_one(bench: Bench) -> None:
    """The others stay where they cost nothing."""
    for number in range(3):
        await bench.start(f"t{number}", "a", "n1")
        await bench.park(f"t{number}", "n1", "no")
    await write_lane(bench, state="held", until=1, holds=1)
    assert await bench.wake() == {"woken": 1, "held": 2}


# -- expire ----------------------------------------------------------------------------------------


async def test_what_a_held_lane_keeps_unread_expires(bench: Bench) -> None:
    """In the order of the lane, up to the first that is not due yet."""
    await bench.accept("t1", "t2")
    await bench.pass_time(DELIVER_BEFORE_MS + 1)
    await bench.accept("t3", "t4")
    after = await bench.topups.expire_unread(0, LANE, after="0-0", count_max=10)
    assert [await bench.state(f"t{n}") for n in (1, 2, 3, 4)] == ["failed"] * 2 + ["queued"] * 2
    assert await bench.topups.expire_unread(0, LANE, after=after, count_max=10) == after
    assert await bench.outcomes("t1") == [(1, "failed")]


async def test_expiry_passes_over_what_is_closed_in_bounded_steps(bench: Bench) -> None:
    """Each call goes on where the last one ended."""
    await bench.accept("t1", "t2", "t3")
    await bench.finish("t1", "", State.SUCCEEDED)
    await bench.pass_time(DELIVER_BEFORE_MS + 1)
    after = await bench.topups.expire_unread(0, LANE, after="0-0", count_max=2)
    assert [await bench.state(f"t{n}") for n in (1, 2, 3)] == ["succeeded", "failed", "queued"]
    await bench.topups.expire_unread(0, LANE, after=after, count_max=2)
    assert await bench.state("t3") == "failed"


async def test_expiry_leaves_what_was_delivered_to_its_dispatcher(bench: Bench) -> None:
    """Begin decides about that."""
    await bench.accept("t1")
    await bench.deliver("a")
    await bench.pass_time(DELIVER_BEFORE_MS + 1)
    await bench.topups.expire_unread(0, LANE, after="0-0", count_max=10)
    assert await bench.state("t1") == "queued"


async def test_what_is_in_doubt_keeps_no_other_from_expiring(bench: Bench) -> None:
    """It waits for its answer at the front of the lane, however long that is held."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "unknown")
    assert await bench.wake() == {"woken": 1}
    await bench.accept("t2")
    await bench.pass_time(DELIVER_BEFORE_MS + 1)
    after = await bench.topups.expire_unread(0, LANE, after="0-0", count_max=1)
    await bench.topups.expire_unread(0, LANE, after=after, count_max=1)
    assert [await bench.state(f"t{n}") for n in (1, 2)] == ["queued", "failed"]


async def test_an_entry_that_nobody_can_read_keeps_no_other_from_expiring(bench: Bench) -> None:
    """It is buried once the lane is read again."""
    await bench.client.xadd(bench.stream, {b"\xff": b"x"})
    await bench.client.xadd(bench.stream, {b"id": b"\xff", b"key": b""})
    await bench.accept("t1")
    await bench.pass_time(DELIVER_BEFORE_MS + 1)
    await bench.topups.expire_unread(0, LANE, after="0-0", count_max=10)
    assert await bench.state("t1") == "failed"


async def test_an_attempt_under_way_never_expires(bench: Bench) -> None:
    """It may be paying right now."""
    await bench.start("t1", "a", "n1")
    await bench.pass_time(DELIVER_BEFORE_MS + 1)
    assert await bench.topups._each(
        "expire", 0, LANE, [Carried("t1", "", ()), Carried("ghost", "", ())]
    ) == [
        "open",
        "closed",
    ]
    assert await bench.state("t1") == "active"
