"""From lane to lane: what one surely has not sold may be tried on the next, on one at a time."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from shared.bus.messages import Begun, Restoring
from shared.bus.records import Record
from shared.bus.trust import Trust
from shared.contracts.acts import act_by
from shared.contracts.events import AUTO, encode
from shared.contracts.events import decode_request as decode
from shared.contracts.states import State
from shared.runtime.redis import Client
from tests.integration.bus.bench import (
    BODY,
    DELIVER_BEFORE_MS,
    LANE,
    QUARANTINE_MS,
    WINDOW_MS,
    Bench,
)

pytestmark = pytest.mark.integration

OTHER = "RELOADLY"
THIRD = "DTONE"
ROUTED = encode(
    msgspec.structs.replace(
        decode(BODY),
        provider=AUTO,
        product="",
        route={LANE: "XOOM_10_MXN", OTHER: "R10", THIRD: "D10"},
    )
)


class Road:
    """Two lanes of one partition that the same topups may have."""

    def __init__(self, client: Client) -> None:
        self.first, self.second = Bench(client), Bench(client, OTHER)

    async def accept(self, topup_id: str = "t1", *, lanes: tuple[str, ...] = (LANE, OTHER)) -> None:
        """Accept a topup that these lanes may have."""
        (reply,) = await self.first.accept(topup_id, body=ROUTED, route=lanes)
        assert getattr(reply, "status", "") == "accepted"

    async def begun(self) -> None:
        """Accept a topup and begin it on its first lane."""
        await self.accept()
        await self.first.deliver("a")
        assert (await self.first.begin("t1", "a", "n1")).status == "send"

    async def carriers(self) -> list[tuple[str, str]]:
        """Return each lane's entries that are not acknowledged, with their lanes."""
        found = []
        for bench in (self.first, self.second):
            found += [(bench.lane_name, entry) for entry in await bench.pending()]
        return found

    async def on(self) -> tuple[str, str, str]:
        """Return the lane, the state and the rest of the route."""
        record = await self.first.record("t1")
        return record["lane"], record["state"], record.get("route", "-")

    async def hold(self, lane: str) -> None:
        """Hold a lane, as people do."""
        await self.first.lanes.hold(lane, act=act_by("test", why="people"))


@pytest.fixture
async def road(redis: Client) -> AsyncIterator[Road]:
    """Two prepared lanes; after each test the counters are what the records are."""
    road = Road(redis)
    for bench in (road.first, road.second):
        await bench.topups.prepare(bench.lane_name)
    yield road
    await road.first.check_counters()


@pytest.mark.parametrize("why", ["refused", "hold"])
async def test_after_a_definite_no_the_next_lane_has_it(road: Road, why: str) -> None:
    """At once, with one carrier: the new entry; and it is paid and told as that lane's."""
    await road.begun()
    assert await road.first.hand_on("t1", "n1", why) == ("moved", OTHER)
    assert await road.carriers() == []
    assert await road.on() == (OTHER, "queued", "")
    (entry,) = (await road.second.deliver("b")).values()
    assert entry.fields["from"] == LANE.encode()
    assert entry.fields["body"] == ROUTED
    begun = await road.second.begin("t1", "b", "n2")
    assert (begun.status, begun.attempt) == ("send", 2)
    assert await road.second.finish("t1", "n2", State.SUCCEEDED) == ("ok", "succeeded")
    (found,) = await road.first.topups.look(0, ["t1"])
    assert isinstance(found, Record)
    assert found.sold_by == (OTHER, "R10")
    assert await _providers(road) == [OTHER]


async def _providers(road: Road) -> list[str]:
    rows = await road.first.client.xrange(road.first.keys.outcomes)
    return [fields.get(b"provider", b"nobody").decode() for _, fields in rows]


@pytest.mark.parametrize("why", ["no", "not_sent"])
async def test_what_is_busy_is_tried_twice_before(road: Road, why: str) -> None:
    """A lane that stutters keeps its topups; one that goes on so gives them away."""
    await road.begun()
    assert await road.first.hand_on("t1", "n1", why) == ("kept", "")
    await road.first.park("t1", "n1", why)
    await road.first.again("t1", "a", "n2")
    assert await road.first.hand_on("t1", "n2", why) == ("moved", OTHER)


async def test_a_repeated_hand_on_changes_nothing(road: Road) -> None:
    """Its answer may have been lost; the same is told again, also once the next lane has begun."""
    await road.begun()
    await road.first.hand_on("t1", "n1", "refused")
    before = await road.first.snapshot()
    assert await road.first.hand_on("t1", "n1", "refused") == ("moved", OTHER)
    after = await road.first.snapshot()
    assert [key for key in before if key != road.first.keys.counters] == [
        key for key in after if key != road.first.keys.counters
    ]
    assert await road.first.client.xlen(road.second.stream) == 1
    await road.second.deliver("b")
    await road.second.begin("t1", "b", "n2")
    assert await road.first.hand_on("t1", "n1", "refused") == ("kept", "")
    assert await road.first.finish("t1", "n1", State.FAILED) == ("fenced", "active")


async def test_what_is_in_doubt_stays_for_ever(road: Road) -> None:
    """Also once an inquiry after the quarantine has cleared it: it may be sent again, but here."""
    road.first.kind = "inquiry"
    await road.begun()
    await road.first.park("t1", "n1", "unknown")
    assert (await road.on())[2] == ""
    assert (await road.first.again("t1", "a", "n2")).status == "inquire"
    assert await road.first.hand_on("t1", "n2", "refused") == ("kept", "")
    await road.first.park("t1", "n2", "unknown")
    await road.first.pass_time(2 * QUARANTINE_MS)
    assert (await road.first.again("t1", "a", "n3")).status == "inquire_final"
    await road.first.park("t1", "n3", "not_found")
    await road.hold(LANE)
    assert await road.first.wake() == {"held": 1}
    assert (await road.on())[:2] == (LANE, "waiting")
    await road.first.lanes.release(LANE, act=act_by("test", why=""))
    await road.first.pass_time(10_000)
    assert (await road.first.again("t1", "a", "n4")).status == "send"
    assert await road.first.hand_on("t1", "n4", "refused") == ("kept", "")


async def test_a_dead_owners_send_is_never_moved(road: Road) -> None:
    """Its lane is held, its entry claimed: nobody knows what it paid."""
    await road.begun()
    await road.first.silence("a")
    await road.first.pass_time(DELIVER_BEFORE_MS // 2)
    await road.hold(LANE)
    entry = (await road.first.record("t1"))["entry"]
    assert (await road.first.begin("t1", "b", "n2", entry=entry)).status == "unresolved"
    assert await road.second.deliver("b") == {}


async def test_a_held_lane_gives_away_what_was_read(road: Road) -> None:
    """begin itself moves it, and it may come back: nothing was tried here."""
    await road.accept()
    await road.first.deliver("a")
    await road.hold(LANE)
    assert await road.first.begin("t1", "a", "n1") == Begun("moved")
    assert await road.on() == (OTHER, "queued", LANE)
    assert await road.carriers() == []


async def test_a_held_lane_gives_away_what_nobody_reads(road: Road) -> None:
    """Bounded at a time, to the end and then from the front; what has one lane stays."""
    await road.first.accept("only")
    await road.accept()
    await road.hold(LANE)
    after = await road.first.topups.move_unread(0, LANE, after="0-0", count_max=1)
    assert (await road.on())[0] == LANE
    assert await road.first.topups.move_unread(0, LANE, after=after, count_max=9) == "0-0"
    assert await road.on() == (OTHER, "queued", LANE)
    assert (await road.first.record("only"))["state"] == "queued"
    await road.first.lanes.release(LANE, act=act_by("test", why=""))
    old = (await road.first.deliver("a"))["t1"]
    assert (await road.first.begin("t1", "a", "n1", entry=old.id)).status == "duplicate"
    assert [bench for bench, _ in await road.carriers()] == [LANE]  # that of `only`


async def test_a_held_lane_gives_away_what_waits(road: Road) -> None:
    """Parked after a no, it is woken on the other lane."""
    await road.begun()
    await road.first.park("t1", "n1", "no")
    await road.hold(LANE)
    assert await road.first.wake() == {"moved": 1}
    assert await road.on() == (OTHER, "queued", "")
    assert await road.first.client.zcard(road.first.keys.waiting) == 0


async def test_where_all_lanes_are_held_it_waits_where_it_is(road: Road) -> None:
    """No lane is better than its own; after a refusal any other one is."""
    await road.begun()
    await road.hold(OTHER)
    assert await road.first.hand_on("t1", "n1", "hold") == ("kept", "")
    assert await road.first.hand_on("t1", "n1", "refused") == ("moved", OTHER)


async def test_the_route_goes_past_held_lanes(road: Road) -> None:
    """The first that is open; those in between stay in the route."""
    await road.accept(lanes=(LANE, OTHER, THIRD))
    await road.first.deliver("a")
    await road.first.begin("t1", "a", "n1")
    await road.hold(OTHER)
    assert await road.first.hand_on("t1", "n1", "refused") == ("moved", THIRD)
    assert await road.on() == (THIRD, "queued", OTHER)


async def test_the_deadline_counts_over_all_lanes(road: Road) -> None:
    """It was given to us then, whoever has it now."""
    await road.begun()
    await road.first.hand_on("t1", "n1", "refused")
    await road.second.deliver("b")
    await road.first.pass_time(DELIVER_BEFORE_MS + 1)
    assert (await road.second.begin("t1", "b", "n2")).status == "expired"
    assert await _providers(road) == [OTHER]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_yes_from_a_lane_that_said_no_counts_and_is_looked_at(
    road: Road, begun: bool
) -> None:
    """Money did leave there; nothing more is sent, and what the other lane says is put aside."""
    await road.begun()
    await road.first.hand_on("t1", "n1", "refused")
    await road.second.deliver("b")
    if begun:
        await road.second.begin("t1", "b", "n2")
    assert await road.first.finish("t1", "n1", State.SUCCEEDED) == ("ok", "succeeded")
    assert await _providers(road) == [LANE]
    assert await road.first.dead() == [("t1", "contradiction")]
    if begun:
        assert (await road.second.finish("t1", "n2", State.SUCCEEDED))[0] == "contradiction"
    entry = next(iter(await road.second.pending()))
    assert (await road.second.begin("t1", "b", "n3", entry=entry)).status == "settled"
    assert await road.carriers() == []


async def test_only_the_lane_that_has_it_may_do_anything_else(road: Road) -> None:
    """Late calls of the former lane: nothing of the topup changes."""
    await road.begun()
    old = next(iter(await road.first.pending()))
    await road.first.hand_on("t1", "n1", "refused")
    before = await road.first.record("t1")
    assert (await road.first.park("t1", "n1", "no"))[0] == "fenced"
    assert (await road.first.finish("t1", "n1", State.FAILED))[0] == "fenced"
    assert (await road.first.begin("t1", "c", "n9", entry=old)).status == "duplicate"
    assert (await road.first.begin("t1", "c", "n9", entry=before["entry"])).status == "duplicate"
    assert await road.first.bury("t1", before["entry"]) == "duplicate"
    assert await road.first.record("t1") == before


async def test_a_repeat_finds_the_topup_wherever_it_is(road: Road) -> None:
    """The key leads to it, though a later request would have begun on another lane."""
    (first,) = await road.first.accept("t1", key="k", body=ROUTED, route=(LANE, OTHER))
    await road.first.deliver("a")
    await road.first.begin("t1", "a", "n1", key="k")
    await road.first.hand_on("t1", "n1", "refused")
    (again,) = await road.second.accept("t2", key="k", body=ROUTED, route=(OTHER, LANE))
    assert (getattr(first, "id", ""), getattr(again, "id", "")) == ("t1", "t1")
    assert getattr(again, "status", "") == "replayed"


async def restored(road: Road, provider: str, to: State, *, seq: int = 0) -> list[object]:
    """Restore t1 as one whose lane the books, or a dispatcher, name."""
    item = Restoring(
        id="t1", request=decode(ROUTED), accepted_at_ms=1_795_000_000_000, seq=seq, to=to,
        reason="streams_lost", provider_reference="", evidence=b"", settled_at_ms=0,
        window_ms=WINDOW_MS,
    )  # fmt: skip
    return list(await Trust(road.first.client, road.first.topups).restore(0, provider, [item]))


@pytest.mark.parametrize("by", [AUTO, LANE])
@pytest.mark.parametrize("left", [True, False])
async def test_after_a_loss_nobody_is_named(road: Road, by: str, *, left: bool) -> None:
    """An older record has it on one lane; since then any may have paid, so each is asked."""
    if left:
        await road.begun()
    assert await restored(road, by, State.UNRESOLVED) == [("restored", "unresolved")]
    assert await road.on() == (AUTO, "unresolved", "")
    assert await _providers(road) == ["nobody"]
    assert await road.first.hand_on("t1", "n1", "refused") == ("kept", "")
    assert (await road.first.finish("t1", "n1", State.FAILED))[1] == "unresolved"
    assert (await road.first.begin("t1", "b", "n2", entry="1-1")).status == "settled"


async def test_a_no_after_a_loss_speaks_for_one_lane_only(road: Road) -> None:
    """Its record is gone: whether another lane was asked in between, this one cannot know."""
    assert await restored(road, LANE, State.FAILED) == [("restored", "unresolved")]
    assert await _providers(road) == ["nobody"]
    assert await restored(road, OTHER, State.SUCCEEDED) == [("restored", "succeeded")]
    assert await _providers(road) == ["nobody", OTHER]


async def test_a_late_yes_after_a_loss_names_who_paid(road: Road) -> None:
    """It contradicts nobody; a second one, of another provider, does."""
    await road.begun()
    await restored(road, AUTO, State.UNRESOLVED)
    assert await road.second.finish("t1", "n2", State.SUCCEEDED) == ("ok", "succeeded")
    assert await _providers(road) == ["nobody", OTHER]
    assert await road.first.dead() == []
    assert (await road.first.finish("t1", "n1", State.SUCCEEDED))[0] == "contradiction"


async def test_what_the_books_have_is_restored_as_theirs(road: Road) -> None:
    """Whichever lane an older record is on."""
    await road.begun()
    assert await restored(road, OTHER, State.UNRESOLVED, seq=1) == [("restored", "unresolved")]
    assert await road.on() == (OTHER, "unresolved", "")
    assert await restored(road, OTHER, State.SUCCEEDED, seq=2) == [("restored", "succeeded")]
    (found,) = await road.first.topups.look(0, ["t1"])
    assert isinstance(found, Record)
    assert found.sold_by == (OTHER, "R10")
    assert await _providers(road) == []
