"""A server that came back has to show what it has, and what it lost is restored once."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ops.embedded import Running
from shared.bus.messages import Restoring
from shared.bus.records import Record
from shared.bus.trust import Trust
from shared.contracts.errors import Unverified
from shared.contracts.events import TopupRequested
from shared.contracts.ids import digest
from shared.contracts.states import State
from shared.runtime.redis import connect
from tests.integration.bus.bench import LANE, WINDOW_MS, Bench
from tests.vouching import GENERATION, vouch_for

pytestmark = pytest.mark.integration

REQUEST = TopupRequested(
    customer_id="C",
    phone="+525512345678",
    country="MX",
    amount_minor=1_000,
    currency="MXN",
    provider=LANE,
    product="XOOM_10_MXN",
    reference="k",
)
KEY = digest("C", "k")


def restoring(to: State, *, seq: int = 0, **changes: Any) -> Restoring:
    """Return topup t1 as the books, or its dispatcher, know it."""
    known = Restoring(
        id="t1", request=REQUEST, accepted_at_ms=1_795_000_000_000, seq=seq, to=to, reason="why",
        provider_reference="ref", evidence=b"", settled_at_ms=1_795_000_001_000,
        window_ms=WINDOW_MS,
    )  # fmt: skip
    return msgspec.structs.replace(known, **changes)


@pytest.fixture
def trust(bench: Bench) -> Trust:
    """What a ledger does with the lane's server."""
    return Trust(bench.client, bench.topups)


async def restore(trust: Trust, *items: Restoring) -> list[Any]:
    """Restore on the lane."""
    return await trust.restore(0, LANE, items)


async def check_nothing_starts(bench: Bench) -> None:
    """Nothing is accepted, begun, looked at or ended by a timer."""
    with pytest.raises(Unverified):
        await bench.accept("t2")
    with pytest.raises(Unverified):
        await bench.begin("t1", "a", "n1", entry="1-1")
    with pytest.raises(Unverified):
        await bench.topups.look(0, ["t1"])
    with pytest.raises(Unverified):
        await bench.bury("t1", "1-1")
    assert not await bench.topups.verified(0)


async def test_an_emptied_server_is_not_believed(bench: Bench, trust: Trust) -> None:
    """Also one that was filled again, past every id that the books know."""
    await bench.accept("t1")
    assert await bench.topups.verified(0)
    await bench.client.flushall()
    await check_nothing_starts(bench)
    await bench.topups.prepare(LANE)
    await bench.client.xadd(bench.stream, {"later": "entry"})
    loss = await trust.vouch(0, GENERATION, {bench.stream: "1-1"})
    assert loss is not None
    assert (loss.key, loss.has) == (bench.keys.meta, "nothing")
    await check_nothing_starts(bench)


async def test_each_life_of_a_server_is_compared_anew(tmp_path: Path) -> None:
    """Whatever it had on disk: what is trusted lies in memory."""
    server = Running.valkey(tmp_path / "valkey")
    try:
        vouch_for(server.url)
        client = connect(server.url)
        bench = Bench(client)
        await bench.topups.prepare(LANE)
        await bench.accept("t1")
        await client.aclose()
        server.kill()
        server.revive()
        client = connect(server.url)
        bench = Bench(client)
        await check_nothing_starts(bench)
        reached = {bench.stream: (await bench.record("t1"))["entry"]}
        assert await Trust(client, bench.topups).vouch(0, GENERATION, reached) is None
        await bench.accept("t2")
        await client.aclose()
    finally:
        server.stop()


async def test_a_server_that_lacks_an_entry_is_not_believed(bench: Bench, trust: Trust) -> None:
    """Not even if it was before; and after a renewal no id is given twice."""
    await bench.accept("t1")
    beyond = {bench.stream: "99999999999999-7"}
    loss = await trust.vouch(0, GENERATION, beyond)
    assert loss is not None
    assert (loss.key, loss.has) == (bench.stream, (await bench.record("t1"))["entry"])
    await check_nothing_starts(bench)
    await trust.renew(0, "another", beyond)
    assert await trust.vouch(0, GENERATION, beyond) is not None
    assert await trust.vouch(0, "another", beyond) is None
    await bench.accept("t2")
    assert (await bench.record("t2"))["entry"] == "99999999999999-8"


async def test_what_ended_is_restored_as_it_ended(bench: Bench, trust: Trust) -> None:
    """Its key leads to it, for the rest of the window; nothing is published again."""
    item = restoring(State.SUCCEEDED, seq=1)
    assert await restore(trust, item) == [("restored", "succeeded")]
    before = await bench.snapshot()
    assert await restore(trust, item) == [("kept", "succeeded")]
    assert await bench.snapshot() == before
    assert await bench.outcomes("t1") == []
    (record,) = await bench.topups.look(0, ["t1"])
    assert isinstance(record, Record)
    assert (record.request, record.provider_reference, record.seq) == (REQUEST, "ref", 1)
    assert record.settled_at_ms == item.settled_at_ms
    assert 0 < await bench.client.pttl(bench.keys.key(KEY)) <= WINDOW_MS
    assert 0 < await bench.client.pttl(bench.keys.record("t1")) <= WINDOW_MS
    assert await restore(trust, restoring(State.FAILED, seq=1)) == [("differs", "succeeded")]


@pytest.mark.parametrize("began", [False, True])
async def test_what_is_open_may_have_been_paid(bench: Bench, trust: Trust, *, began: bool) -> None:
    """Lost, queued or in flight: it becomes unresolved, is never sent, and a late yes ends it."""
    if began:
        await bench.start("t1", "a", "n1")
    assert await restore(trust, restoring(State.UNRESOLVED)) == [("restored", "unresolved")]
    assert await restore(trust, restoring(State.UNRESOLVED)) == [("kept", "unresolved")]
    assert await bench.outcomes("t1") == [(1, "unresolved")]
    assert (await bench.begin("t1", "b", "n2", entry="1-1")).status == "settled"
    assert await bench.pending() == {}
    now_ms = await bench.topups.now_ms()
    assert (await bench.resolve("t1", State.FAILED, asked_at_ms=now_ms))[0] == "too_soon"
    assert (await bench.finish("t1", "n1", State.FAILED))[1] == "unresolved"
    assert await bench.finish("t1", "n1", State.SUCCEEDED) == ("ok", "succeeded")
    assert await bench.outcomes("t1") == [(1, "unresolved"), (2, "succeeded")]


async def test_a_no_without_a_record_counts_only_where_nothing_is_known(
    bench: Bench, trust: Trust
) -> None:
    """Where the record is there, others may have sent."""
    await bench.accept("t1")
    assert await restore(trust, restoring(State.FAILED)) == [("restored", "unresolved")]
    no = restoring(State.FAILED, id="t2")
    assert await restore(trust, no) == [("restored", "failed")]
    assert await bench.outcomes("t2") == [(1, "failed")]


async def test_the_books_lead_an_older_record_on(bench: Bench, trust: Trust) -> None:
    """In flight in the copy, resolved in the books."""
    await bench.start("t1", "a", "n1")
    item = restoring(State.FAILED, seq=2)
    assert await restore(trust, item) == [("restored", "failed")]
    assert await bench.pending() == {}
    assert await bench.outcomes("t1") == []


async def test_a_key_that_is_anothers_stays_that_ones(bench: Bench, trust: Trust) -> None:
    """The newer topup's repeats lead to it."""
    await bench.accept("newer", key=KEY)
    assert await restore(trust, restoring(State.SUCCEEDED, seq=1)) == [("restored", "succeeded")]
    assert (await bench.client.get(bench.keys.key(KEY))).startswith(b"newer ")
    assert await bench.client.pttl(bench.keys.key(KEY)) == -1
