"""What an attempt that settled nothing has found out stays, and goes along at the end."""

import pytest

from shared.bus.records import Record
from shared.contracts.acts import act_by
from shared.contracts.states import State
from shared.contracts.tries import Tried, Try, decode_tries, encode_try
from tests.integration.bus.bench import LANE, LEASE_MS, Bench

pytestmark = pytest.mark.integration

BYTES_MAX = 4_096


def busy(attempt: int, raw: object = "busy") -> Try:
    return Try(attempt=attempt, mode="send", answer="refused", code="8", raw=raw, by="a")


async def tries_of(bench: Bench, topup_id: str) -> list[Tried]:
    (record,) = await bench.topups.look(0, [topup_id])
    assert isinstance(record, Record)
    return record.tried


async def last_tries(bench: Bench) -> list[Try]:
    """Return what the newest outcome took along."""
    (_, fields), *_ = await bench.client.xrevrange(bench.keys.outcomes, count=1)
    return [one.tried for one in decode_tries(fields.get(b"tried", b""))]


async def test_each_answer_is_kept_until_the_outcome_takes_all_along(bench: Bench) -> None:
    """In order, with the server's time; the settled record is as small as any."""
    await bench.start("t1", "a", "n1")
    await bench.park("t1", "n1", "no", said=encode_try(busy(1)))
    await bench.again("t1", "a", "n2")
    await bench.park("t1", "n2", "no", said=encode_try(busy(2)))
    found = await tries_of(bench, "t1")
    assert [one.tried for one in found] == [busy(1), busy(2)]
    assert 0 <= await bench.topups.now_ms() - found[0].at_ms < 60_000
    await bench.again("t1", "a", "n3")
    await bench.finish("t1", "n3", State.SUCCEEDED)
    assert await last_tries(bench) == [busy(1), busy(2)]
    assert "tried" not in await bench.record("t1")


async def test_a_topup_that_ends_at_once_takes_nothing_along(bench: Bench) -> None:
    """Nearly all do; they cost no byte more."""
    await bench.start("t1", "a", "n1")
    await bench.finish("t1", "n1", State.SUCCEEDED)
    (_, fields), *_ = await bench.client.xrevrange(bench.keys.outcomes, count=1)
    assert b"tried" not in fields


async def test_a_repeated_park_is_remembered_once(bench: Bench) -> None:
    """Its answer was lost, not its step."""
    await bench.start("t1", "a", "n1")
    for _ in range(2):
        await bench.park("t1", "n1", "no", said=encode_try(busy(1)))
    assert [one.tried for one in await tries_of(bench, "t1")] == [busy(1)]


async def test_the_silence_of_an_owner_is_told_too(bench: Bench) -> None:
    """Whoever ends it says which attempt was never heard of again, and whose."""
    await bench.start("t1", "a", "n1")
    await bench.pass_time(LEASE_MS + 1)
    assert (await bench.begin("t1", "b", "n2")).status == "unresolved"
    assert await last_tries(bench) == [Try(attempt=1, mode="send", answer="silent", by="a")]


async def test_the_first_and_the_latest_are_kept_of_very_many(bench: Bench) -> None:
    """However often a provider is busy, the record stays small; the numbers show the gap."""
    await bench.start("t1", "a", "n1")
    for number in range(1, 30):
        await bench.park("t1", f"n{number}", "no", said=encode_try(busy(number, "x" * 300)))
        await bench.again("t1", "a", f"n{number + 1}")
    numbers = [one.tried.attempt for one in await tries_of(bench, "t1")]
    assert numbers[:9] == list(range(1, 10))
    assert numbers[-1] == 29
    assert len(await bench.client.hget(bench.keys.record("t1"), "tried")) <= BYTES_MAX + 600


async def test_an_older_dispatcher_parks_as_it_always_did(bench: Bench) -> None:
    """It sends one argument less, and its answer is not kept."""
    await bench.start("t1", "a", "n1")
    await bench.start("t2", "a", "n2")
    keys = bench.keys.with_records(LANE, [("t1", ""), ("t2", "")])
    parked = ["t1", "n1", 0, "no", "busy", "t2", "n2", 0, "hold", "empty"]
    replies = await bench.topups._caller.call("park", keys, [1_000, 1_000, *parked])
    assert [reply[0] for reply in replies] == [b"ok", b"ok"]
    assert (await bench.record("t2"))["reason"] == "empty"
    assert await tries_of(bench, "t1") == []


async def test_a_silence_that_is_seen_again_is_told_once(bench: Bench) -> None:
    """Behind a held lane the same attempt is found dead again and again."""
    bench.kind = "inquiry"
    await bench.start("t1", "a", "n1")
    await bench.lanes.hold(LANE, act=act_by("me", why="r"))
    await bench.pass_time(LEASE_MS + 1)
    for number in range(2, 5):
        assert (await bench.begin("t1", "b", f"n{number}")).status == "held"
    assert [one.tried.answer for one in await tries_of(bench, "t1")] == ["silent"]
