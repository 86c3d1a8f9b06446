"""What was put aside for people stays until they are done with it; only the unsent goes again."""

import asyncio

import pytest
from msgspec.structs import replace

from shared.bus.dead import Dead, Letter
from shared.contracts.acts import act_by
from shared.contracts.events import decode_request
from shared.contracts.limits import DEAD_RETENTION_MS
from shared.contracts.states import State
from tests.integration.bus.bench import BODY, DELIVER_BEFORE_MS, LANE, Bench

pytestmark = pytest.mark.integration
ORDER = decode_request(BODY)


@pytest.fixture
def dead(bench: Bench) -> Dead:
    """The letters."""
    return Dead(bench.client, bench.topups)


async def unread(bench: Bench, topup_id: str) -> None:
    """Put an entry on the lane that has no record, and bury it as a dispatcher does."""
    entry = await bench.client.xadd(bench.stream, {"id": topup_id, "body": BODY, "at": b"x"})
    await bench.deliver("a")
    assert await bench.bury(topup_id, entry.decode()) == "lost"


async def redrive(dead: Dead, letter: Letter, key: str | None = None) -> tuple[str, str]:
    return await dead.redrive(
        letter,
        replace(ORDER, reference=key),
        deliver_before_ms=DELIVER_BEFORE_MS,
        act=act_by("ana", why="mended"),
    )


async def only(dead: Dead) -> Letter:
    (letter,) = await dead.newest(count_max=9, with_done=False)
    return letter


async def test_letters_go_only_once_people_are_done_with_them(bench: Bench, dead: Dead) -> None:
    """However old they are; and those that are done stay for their time, with who and why."""
    then_ms = await bench.topups.now_ms() - DEAD_RETENTION_MS
    for at_ms, name in [(then_ms - 2, "old"), (then_ms - 1, "done"), (then_ms + 60_000, "young")]:
        await bench.client.xadd(bench.keys.dead, {"id": name, "reason": "why"}, id=f"{at_ms}-0")
    letters = {letter.topup_id: letter for letter in await dead.newest(count_max=9, with_done=True)}
    for name in ("done", "young"):
        reply = await dead.discard(letters[name], act=act_by("ana", why="seen"))
        assert reply == ("discarded", "")
    assert await bench.topups.trim(providers=[LANE], retention_ms=60_000) == 1
    left = await dead.newest(count_max=9, with_done=True)
    assert [letter.topup_id for letter in left] == ["young", "old"]
    mark = left[0].mark
    assert mark is not None
    assert (mark.what, mark.by, mark.why) == ("discarded", "ana", "seen")
    assert [one.topup_id for one in await dead.newest(count_max=9, with_done=False)] == ["old"]


async def test_what_nothing_was_begun_for_is_accepted_once(bench: Bench, dead: Dead) -> None:
    """As any topup, with a deadline from now on; the letter says who did it."""
    await unread(bench, "t1")
    letter = await only(dead)
    assert letter.sent == "no"
    replies = await asyncio.gather(redrive(dead, letter), redrive(dead, letter))
    assert sorted(word for word, _ in replies) == ["done", "redriven"]
    assert await bench.state("t1") == "queued"
    await bench.deliver("a")
    assert (await bench.begin("t1", "a", "n1")).status == "send"
    assert await bench.finish("t1", "n1", State.SUCCEEDED) == ("ok", "succeeded")
    assert await dead.newest(count_max=9, with_done=False) == []


async def test_two_letters_of_one_topup_make_one_topup(bench: Bench, dead: Dead) -> None:
    """The second finds its record."""
    await unread(bench, "t1")
    await unread(bench, "t1")
    first, second = await dead.newest(count_max=9, with_done=False)
    assert await redrive(dead, first) == ("redriven", "")
    assert await redrive(dead, second) == ("exists", "queued")
    assert (await bench.topups.counters(0))["accepted"] == 1


@pytest.mark.parametrize("began", ["lost", "contradiction", "buried"])
async def test_what_may_have_been_sent_never_goes_again(
    bench: Bench, dead: Dead, began: str
) -> None:
    """Whatever its letter is about, and whether or not it has a record by now."""
    if began == "lost":
        entry = await bench.client.xadd(bench.stream, {"id": "t1", "body": BODY})
        await bench.deliver("a")
        await bench.begin("t1", "a", "n1", entry=entry.decode())
    else:
        await bench.start("t1", "a", "n1")
    if began == "contradiction":
        await bench.finish("t1", "n1", State.FAILED)
        await bench.finish("t1", "n1", State.SUCCEEDED)
    if began == "buried":
        assert await bench.bury("t1") == "unresolved"
    letter = await only(dead)
    before = await bench.snapshot()
    assert (await redrive(dead, letter))[0] == "maybe_sent"
    assert await bench.snapshot() == before


async def test_a_key_that_is_another_topups_is_left_to_it(bench: Bench, dead: Dead) -> None:
    """Its merchant has repeated the order: that is the one which is paid."""
    await unread(bench, "t1")
    order = replace(ORDER, reference="order-1")
    await bench.accept("t2", key=order.key_hash)
    letter = await only(dead)
    assert await redrive(dead, letter, key="order-1") == ("key_taken", "t2")
    assert await bench.record("t1") == {}


async def test_of_two_people_the_second_is_told_of_the_first(bench: Bench, dead: Dead) -> None:
    """Discarded is not redriven any more, and discarded once."""
    await unread(bench, "t1")
    letter = await only(dead)
    await dead.discard(letter, act=act_by("ana", why="a test"))
    second = await dead.discard(letter, act=act_by("b", why="c"))
    for word, detail in (await redrive(dead, letter), second):
        assert word == "done"
        assert '"by":"ana"' in detail
    assert await bench.record("t1") == {}
    gone = replace(letter, entry="1-1")
    assert await dead.discard(gone, act=act_by("ana", why="x")) == ("none", "")
