"""Acts: whoever changes a lane or settles by hand has written it down in the same step."""

import itertools
import json
import re

import pytest

from shared.bus.dead import Dead
from shared.bus.topups import Topups
from shared.bus.trust import Trust
from shared.contracts.acts import act_by
from shared.contracts.events import decode_request
from shared.contracts.limits import BATCH_MAX
from shared.contracts.states import State
from shared.contracts.streams import LEDGER_GROUP
from tests.integration.bus.bench import BODY, DELIVER_BEFORE_MS, LANE, QUARANTINE_MS, Bench

pytestmark = pytest.mark.integration

TOPUP_ID = "0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


async def acts(bench: Bench) -> list[dict[str, str]]:
    """Return what was written down, in its order."""
    rows = await bench.client.xrange(bench.keys.acts)
    return [{name.decode(): value.decode() for name, value in row.items()} for _, row in rows]


async def told(bench: Bench) -> list[tuple[str, str, str]]:
    """Return of each act what it is, of what, and by whom."""
    return [(act["act"], act["target"], act["who"]) for act in await acts(bench)]


async def test_a_hold_and_a_release_by_hand_are_written_down(bench: Bench) -> None:
    """Who, what, why, how it was and how it is; under the id that the caller drew."""
    held, opened = act_by("ana", why="strike"), act_by("ben", why="it is over")
    await bench.lanes.hold(LANE, act=held)
    await bench.lanes.release(LANE, act=opened)
    first, second = await acts(bench)
    assert (first["id"], first["act"], first["who"], first["why"]) == (
        held.id, "lane.hold", "ana", "strike",
    )  # fmt: skip
    assert (second["id"], second["act"], second["who"], second["why"]) == (
        opened.id, "lane.release", "ben", "it is over",
    )  # fmt: skip
    assert json.loads(first["before"])["state"] == "open"
    assert json.loads(first["after"]) == json.loads(second["before"])
    assert json.loads(first["after"])["by"] == "ana"
    assert json.loads(second["after"])["state"] == "open"
    assert int(first["at"]) <= int(second["at"]) <= await bench.topups.now_ms()


async def test_a_release_that_changes_nothing_is_no_act(bench: Bench) -> None:
    """The lane was open already."""
    await bench.lanes.release(LANE, act=act_by("ana", why=""))
    assert await acts(bench) == []


async def test_a_repeated_act_has_the_same_id(bench: Bench) -> None:
    """Whoever got no answer may ask again: for the audit it is one act."""
    act = act_by("ana", why="strike")
    for _ in range(2):
        await bench.lanes.hold(LANE, act=act)
    assert {one["id"] for one in await acts(bench)} == {act.id}


async def test_a_lane_that_changes_by_itself_says_so(bench: Bench) -> None:
    """Held by an answer, tried by one topup, opened by its answer: each by who carried it."""
    await bench.accept("t1")
    await bench.begin("t1", "dispatcher-1#a", "n1")
    await bench.park("t1", "n1", "hold", reason="no credit")
    await bench.pass_time(5_000)
    await bench.wake()
    await bench.begin("t1", "dispatcher-2#b", "n2")
    await bench.finish("t1", "n2", State.SUCCEEDED)
    assert await told(bench) == [
        ("lane.hold", LANE, "dispatcher-1#a"),
        ("lane.probe", LANE, "dispatcher-2#b"),
        ("lane.release", LANE, "dispatcher-2#b"),
    ]
    found = await acts(bench)
    assert found[0]["why"] == "no credit"
    assert all(UUID7.fullmatch(act["id"]) for act in found)
    assert len({act["id"] for act in found}) == 3
    for act, following in itertools.pairwise(found):
        assert json.loads(act["after"])["state"] == json.loads(following["before"])["state"]


async def test_a_resolve_is_written_down_once(bench: Bench) -> None:
    """With its end; one that comes too soon, or too late, has done nothing."""
    await bench.accept("t1")
    await bench.begin("t1", "me", "n1")
    await bench.finish("t1", "n1", State.UNRESOLVED)
    now_ms = await bench.topups.now_ms()
    assert (await bench.resolve("t1", State.FAILED, asked_at_ms=now_ms))[0] == "too_soon"
    assert await acts(bench) == []
    after = now_ms + 2 * QUARANTINE_MS
    assert (await bench.resolve("t1", State.FAILED, asked_at_ms=after))[0] == "ok"
    assert (await bench.resolve("t1", State.SUCCEEDED, asked_at_ms=after))[0] == "failed"
    (act,) = await acts(bench)
    assert (act["act"], act["target"], act["who"]) == ("topup.resolve", "t1", "ana")
    assert json.loads(act["before"])["state"] == "unresolved"
    assert json.loads(act["after"])["state"] == "failed"


async def test_what_becomes_of_a_dead_letter_is_written_down_once(bench: Bench) -> None:
    """Under its topup where it is of one, else under its own name; what changed nothing is none."""
    dead = Dead(bench.client, bench.topups)
    for topup_id in (TOPUP_ID, "none"):
        fields = {"id": topup_id, "lane": LANE, "reason": "unreadable", "payload": BODY}
        await bench.client.xadd(bench.keys.dead, fields | {"sent": "no"})
    other, sale = await dead.newest(count_max=2, with_done=False)
    ana, ben = act_by("ana", why="mended"), act_by("ben", why="a test")
    order = decode_request(BODY)
    for _ in range(2):
        await dead.redrive(sale, order, deliver_before_ms=DELIVER_BEFORE_MS, act=ana)
        await dead.discard(other, act=ben)
    first, second = await acts(bench)
    assert (first["id"], first["act"], first["target"], first["who"], first["why"]) == (
        ana.id, "dead.redrive", TOPUP_ID, "ana", "mended",
    )  # fmt: skip
    assert (second["id"], second["act"], second["target"], second["who"], second["why"]) == (
        ben.id, "dead.discard", other.name, "ben", "a test",
    )  # fmt: skip
    for act, letter_name, end in (
        (first, sale.name, "redriven"),
        (second, other.name, "discarded"),
    ):
        before, after = json.loads(act["before"]), json.loads(act["after"])
        assert before == {"letter": letter_name, "lane": LANE, "state": "waiting"}
        assert after == before | {"state": end}


async def test_a_gateway_from_before_acts_goes_on_discarding(bench: Bench) -> None:
    """It names one key less: the letter is marked, without an act."""
    keys = bench.keys
    entry = await bench.client.xadd(keys.dead, {"id": "t1", "lane": LANE})
    names = [keys.dead, keys.dead_done]
    reply = await bench.client.fcall("topups1_discard", 2, *names, entry, "ana", "a test")
    assert reply[0] == b"discarded"
    assert await bench.client.hexists(keys.dead_done, entry.decode())
    assert await acts(bench) == []


async def test_a_dispatcher_from_before_acts_goes_on_working(bench: Bench) -> None:
    """It names one key less: its lanes are held and opened as ever, without an act."""
    keys = bench.topups.keys[0]
    older = keys.common(LANE)[:-1]
    body, meta = b"{}", [1, 60_000]
    await bench.client.fcall(
        "topups1_accept",
        10,
        *older,
        keys.record("t1"),
        keys.record("t1"),
        *meta,
        "t1",
        "f",
        "",
        body,
    )
    await bench.client.fcall(
        "topups1_begin",
        10,
        *older,
        keys.record("t1"),
        keys.record("t1"),
        1,
        "me",
        "neither",
        60_000,
        1_000,
        0,
        60_000,
        "t1",
        (await bench.record("t1"))["entry"],
        "n1",
    )
    parked = await bench.client.fcall(
        "topups1_park",
        10,
        *older,
        keys.record("t1"),
        keys.record("t1"),
        0,
        "1000 5",
        "t1",
        "n1",
        0,
        "hold",
        "empty",
        "",
        "empty",
    )
    assert parked[0][0] == b"ok"
    assert (await bench.topups.lanes(0))[LANE].state == "held"
    await bench.client.fcall("topups1_release", 1, keys.lanes, LANE, "me")
    assert (await bench.topups.lanes(0))[LANE].state == "open"
    assert await acts(bench) == []


async def test_acts_that_the_audit_has_are_trimmed(bench: Bench) -> None:
    """And no other."""
    keys = bench.topups.keys[0]
    for _ in range(2):
        await bench.lanes.hold(LANE, act=act_by("ana", why="strike"))
    (first, _), _ = await bench.client.xrange(keys.acts)
    await bench.client.xreadgroup(LEDGER_GROUP, "l", {keys.acts: ">"}, count=BATCH_MAX)
    await bench.client.xack(keys.acts, LEDGER_GROUP, first)
    await bench.pass_time(10_000)
    await bench.topups.trim(providers=[LANE], retention_ms=0)
    assert await bench.client.xlen(keys.acts) == 1


async def test_the_group_of_acts_is_made_with_the_first(bench: Bench) -> None:
    """Also where nobody has prepared anything: no act can be missed."""
    await bench.client.delete(bench.keys.acts)
    trust = Trust(bench.client, Topups(bench.client, partitions=1, window_ms=1))
    await trust.hold(0, LANE, act=act_by("ledger", why="streams_lost"))
    (group,) = await bench.client.xinfo_groups(bench.keys.acts)
    assert (group["name"], group["last-delivered-id"]) == (LEDGER_GROUP.encode(), b"0-0")
