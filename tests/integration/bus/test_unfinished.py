"""What is not finished is seen wherever it is, with its age; who is behind, by how much."""

import pytest

from shared.bus.unfinished import Behind, Unfinished, read_unfinished
from shared.contracts.states import State
from shared.contracts.streams import LEDGER_GROUP
from tests.integration.bus.bench import BODY, LANE, SLACK_MS, Bench

pytestmark = pytest.mark.integration
LONG_MS = 300_000


async def look(bench: Bench) -> Unfinished:
    return await read_unfinished(bench.client, bench.topups, providers=[LANE, "DTONE"])


async def write_long_ago(bench: Bench, stream: str, **fields: str) -> None:
    """Put an entry on an empty stream, as if it had been there for five minutes."""
    at_ms = await bench.topups.now_ms() - LONG_MS
    await bench.client.xadd(stream, {"id": "t0", "body": BODY, **fields}, id=f"{at_ms}-0")


def is_long(age_ms: int) -> bool:
    return LONG_MS <= age_ms < LONG_MS + SLACK_MS


async def test_where_nothing_is_there_is_nothing_to_tell(bench: Bench) -> None:
    """Every lane has an age and counts, also one that has no stream; all are 0."""
    seen = await look(bench)
    assert seen.oldest_age_ms == {LANE: 0, "DTONE": 0}
    assert seen.lanes[LANE] == {State.QUEUED: 0, State.ACTIVE: 0, State.WAITING: 0}
    assert set(seen.groups) == {
        (f"requests:{LANE}", "dispatcher"), (f"requests:{LANE}", "ledger"),
        ("outcomes", "ledger"), ("acts", "ledger"),
    }  # fmt: skip
    assert set(map(tuple, ((b.unread, b.pending) for b in seen.groups.values()))) == {(0, 0)}


@pytest.mark.parametrize("where", ["unread", "at work"])
async def test_an_old_topup_is_seen_on_its_lane(bench: Bench, where: str) -> None:
    """Whether nobody has taken it, or somebody has had it in hand ever since."""
    await write_long_ago(bench, bench.stream)
    await bench.accept("t1")
    if where == "at work":
        await bench.deliver("a")
    seen = await look(bench)
    assert is_long(seen.oldest_age_ms[LANE])
    behind = seen.groups[f"requests:{LANE}", "dispatcher"]
    assert (behind.unread, behind.pending) == ((0, 2) if where == "at work" else (2, 0))
    assert seen.groups[f"requests:{LANE}", "ledger"].unread == 2


async def test_an_old_topup_is_seen_while_it_is_parked_and_when_it_is_back(bench: Bench) -> None:
    """Its age is from its accept, not from the entry that it came back by."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "no", delay_ms=LONG_MS + SLACK_MS)
    await bench.pass_time(LONG_MS)
    assert is_long((await look(bench)).oldest_age_ms[LANE])
    await bench.pass_time(SLACK_MS)
    await bench.accept("t2")
    assert await bench.wake() == {"woken": 1}
    assert (await look(bench)).oldest_age_ms[LANE] > LONG_MS


async def test_what_has_ended_is_no_longer_old(bench: Bench) -> None:
    """And for who books it is there until it is booked."""
    await bench.start("t1", "a", "n1")
    await bench.pass_time(LONG_MS)
    await bench.finish("t1", "n1", State.SUCCEEDED)
    seen = await look(bench)
    assert seen.oldest_age_ms[LANE] == 0
    assert seen.groups["outcomes", LEDGER_GROUP].unread == 1


async def test_a_group_that_is_behind_is_seen(bench: Bench) -> None:
    """By the age of the first entry that it has not acknowledged."""
    await write_long_ago(bench, bench.keys.outcomes)
    behind = (await look(bench)).groups["outcomes", LEDGER_GROUP]
    assert is_long(behind.oldest_age_ms)
    assert (behind.unread, behind.pending) == (1, 0)
    await bench.client.xreadgroup(LEDGER_GROUP, "l", {bench.keys.outcomes: ">"})
    behind = (await look(bench)).groups["outcomes", LEDGER_GROUP]
    assert is_long(behind.oldest_age_ms)
    assert (behind.unread, behind.pending) == (0, 1)
    await bench.client.xack(bench.keys.outcomes, LEDGER_GROUP, *await ids(bench))
    assert (await look(bench)).groups["outcomes", LEDGER_GROUP] == Behind()


async def ids(bench: Bench) -> list[bytes]:
    return [entry for entry, _ in await bench.client.xrange(bench.keys.outcomes)]


async def test_what_is_in_no_state_breaks_conservation(bench: Bench) -> None:
    """Accepted, less those in every state, is 0, until somebody takes one out."""
    await bench.accept("t1", "t2")
    await bench.start("t3")
    assert (await look(bench)).conservation_error == 0
    await bench.client.hincrby(bench.keys.counters, "queued", -1)
    assert (await look(bench)).conservation_error == 1
    await bench.client.hincrby(bench.keys.counters, "queued", 1)


async def test_looking_changes_nothing(bench: Bench) -> None:
    """However often anybody looks."""
    await bench.accept("t1")
    await bench.start("t2")
    before = await bench.snapshot()
    await look(bench)
    assert await bench.snapshot() == before
