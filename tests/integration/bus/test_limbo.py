"""Unresolved topups: one asks about them at a time, and no late no goes against what people say."""

from collections.abc import Awaitable, Callable

import pytest

from shared.bus.limbo import Schedule, Standing
from shared.contracts.states import State
from tests.integration.bus.bench import LANE, QUARANTINE_MS, SLACK_MS, Bench

pytestmark = pytest.mark.integration

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@pytest.fixture
async def schedule(bench: Bench) -> Schedule:
    """A topup in limbo, t1, that is on the schedule."""
    await bench.start("t1")
    await bench.finish("t1", "n1", State.UNRESOLVED)
    schedule = Schedule(bench.client, bench.topups)
    await schedule.add(0, LANE, ["t1"], now_ms=await bench.topups.now_ms())
    return schedule


async def taken(bench: Bench, schedule: Schedule) -> list[str]:
    """Return whose turn it is now."""
    now_ms = await bench.topups.now_ms()
    return [one.id for one in await schedule.take(0, LANE, now_ms=now_ms, count_max=10)]


async def test_each_turn_is_taken_once(bench: Bench, schedule: Schedule) -> None:
    """The next comes after a minute, then after about as long as it has been in limbo."""
    assert await taken(bench, schedule) == ["t1"]
    assert await taken(bench, schedule) == []
    await bench.pass_time(MINUTE_MS + SLACK_MS)
    assert await taken(bench, schedule) == ["t1"]
    await bench.pass_time(10 * HOUR_MS)
    assert await taken(bench, schedule) == ["t1"]
    await bench.pass_time(6 * HOUR_MS - SLACK_MS)
    assert await taken(bench, schedule) == []
    await bench.pass_time(2 * SLACK_MS)
    assert await taken(bench, schedule) == ["t1"], "at least every six hours"


async def test_being_put_on_it_again_brings_no_turn_forward(
    bench: Bench, schedule: Schedule
) -> None:
    """However many ledgers do it."""
    assert await taken(bench, schedule) == ["t1"]
    await schedule.add(0, LANE, ["t1"], now_ms=0)
    assert await taken(bench, schedule) == []


async def test_what_has_ended_leaves_it(bench: Bench, schedule: Schedule) -> None:
    """And so does what has no record."""
    await bench.finish("t1", "late", State.SUCCEEDED)
    await schedule.add(0, LANE, ["gone"], now_ms=0)
    assert await taken(bench, schedule) == []
    assert await bench.client.zcard(bench.keys.limbo(LANE)) == 0


# -- what people say was paid ---------------------------------------------------------------


@pytest.fixture
async def standing(bench: Bench) -> Standing:
    """A topup in limbo, t1, of which p1 says that it was paid."""
    await bench.start("t1")
    await bench.finish("t1", "n1", State.UNRESOLVED)
    standing = Standing(bench.client, bench.topups)
    assert await standing.stand(0, [("t1", "p1")]) == ["unresolved"]
    return standing


async def no_of_a_machine(bench: Bench) -> str:
    """Return what becomes of a no that was asked for after the quarantine."""
    late_ms = await bench.topups.now_ms() + 2 * QUARANTINE_MS
    return (await bench.resolve("t1", State.FAILED, asked_at_ms=late_ms, proposal=""))[0]


async def late_own_no(bench: Bench) -> str:
    """Return what becomes of the no that the attempt itself hears at last."""
    return (await bench.finish("t1", "n1", State.FAILED))[0]


@pytest.mark.parametrize("no", [no_of_a_machine, late_own_no])
async def test_no_machine_denies_what_people_say_was_paid(
    bench: Bench, standing: Standing, no: Callable[[Bench], Awaitable[str]]
) -> None:
    """They get a copy of it, once; when nobody says so any more, it counts."""
    for _ in range(2):
        assert await no(bench) == "disputed"
    assert await bench.outcomes("t1") == [(1, "unresolved")]
    assert await bench.dead() == [("t1", "disputed")]
    assert await standing.fall(0, [("t1", "p1")]) == ["unresolved"]
    assert await no(bench) == "ok"
    assert await bench.outcomes("t1") == [(1, "unresolved"), (2, "failed")]
    assert (await bench.record("t1")).keys().isdisjoint({"proposed", "disputed"})


async def test_a_yes_counts_whatever_people_say(bench: Bench, standing: Standing) -> None:
    """Money did leave, from whomever it is heard."""
    assert await bench.finish("t1", "late", State.SUCCEEDED) == ("ok", "succeeded")
    assert await standing.stand(0, [("t1", "p2")]) == ["succeeded"]
    assert "proposed" not in await bench.record("t1")


async def test_what_one_person_takes_back_another_may_still_say(
    bench: Bench, standing: Standing
) -> None:
    """However often each is told, in whatever order; of a stranger nothing is kept."""
    assert await standing.stand(0, [("t1", "p2"), ("t1", "p2"), ("gone", "p3")]) == [
        "unresolved", "unresolved", "lost",
    ]  # fmt: skip
    for fell in ("p1", "p1", "p4"):
        await standing.fall(0, [("t1", fell)])
        assert await no_of_a_machine(bench) == "disputed"
    await standing.fall(0, [("t1", "p2")])
    assert await no_of_a_machine(bench) == "ok"


async def test_people_may_settle_against_one_of_them(bench: Bench, standing: Standing) -> None:
    """What two of them have confirmed needs nobody's leave; and it is told as their decision."""
    for number in range(100):
        await standing.stand(0, [("t1", f"left-{number}")])
    assert len((await bench.record("t1"))["proposed"].split()) < 10, "they are bounded"
    late_ms = await bench.topups.now_ms() + 2 * QUARANTINE_MS
    assert (await bench.resolve("t1", State.FAILED, asked_at_ms=late_ms))[0] == "ok"
    assert (await bench.record("t1"))["reason"] == "resolved"


async def test_a_machines_no_is_not_told_as_peoples_decision(bench: Bench) -> None:
    """The merchant reads that the provider refused it."""
    await bench.start("t1")
    await bench.finish("t1", "n1", State.UNRESOLVED)
    assert await no_of_a_machine(bench) == "ok"
    assert (await bench.record("t1"))["reason"] == "refused"
