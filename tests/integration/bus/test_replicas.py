"""With replicas that may be promoted: nothing counts before all of them have it on disk."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
from redis import Redis

from ops.checks.streams import check_streams
from ops.embedded import Running
from shared.bus import calls
from shared.bus.messages import Outcome
from shared.bus.reader import GroupReader
from shared.bus.topups import Topups
from shared.contracts.errors import NotDurable
from shared.contracts.states import State
from shared.contracts.streams import DISPATCHER_GROUP
from shared.runtime.redis import connect
from shared.runtime.worth import durability
from shared.web.checks import redis_check
from tests.integration.bus.bench import LANE, WINDOW_MS, Bench, until
from tests.integration.dispatcher.lanes import Bay
from tests.vouching import vouch_for

pytestmark = pytest.mark.integration

T = TypeVar("T")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    """A primary, and a replica that may be promoted."""
    folder = tmp_path_factory.mktemp("replicas")
    primary, replica = Running.valkey(folder / "one"), Running.valkey(folder / "two")
    try:
        place = urlsplit(primary.url)
        with Redis.from_url(primary.url) as client:
            client.config_set("repl-diskless-sync-delay", 0)
        with Redis.from_url(replica.url) as client:
            client.config_set("masterauth", str(place.password))
            client.execute_command("REPLICAOF", str(place.hostname), str(place.port))
        yield primary, replica
    finally:
        replica.stop()
        primary.stop()


@pytest.fixture
async def bench(
    servers: tuple[Running, Running], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    """A lane on the primary, whose steps wait for the replica, but not for long."""
    monkeypatch.setattr(calls, "WAITS_MS", (5, 300))
    client = connect(servers[0].url)
    names = await client.keys("topup:*")
    if names:  # FLUSHALL would make the replica's log anew, and it acknowledges nothing meanwhile
        await client.delete(*names)

    async def attached() -> bool:
        return await durability(client, replicas=1) == "replicated"

    await until(attached)
    bench = Bench(client)
    bench.topups = Topups(client, partitions=1, window_ms=WINDOW_MS, replicas=1)
    await bench.topups.prepare(LANE)
    vouch_for(servers[0].url)
    yield bench
    await bench.check_counters()
    await client.aclose()


@contextmanager
def stopped(replica: Running) -> Iterator[None]:
    """Let the replica stand still meanwhile."""
    os.kill(replica.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(replica.pid, signal.SIGCONT)


async def at_last(step: Callable[[], Awaitable[T]]) -> T:
    """Repeat a step, as its callers do, until the replica that goes on has caught up."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(NotDurable):
                return await step()


async def test_nothing_is_accepted_without_the_replica(
    bench: Bench, servers: tuple[Running, Running]
) -> None:
    """Nor on a second try, whose accept writes nothing new; with it, at once."""
    with stopped(servers[1]):
        for _ in range(2):
            with pytest.raises(NotDurable):
                await bench.accept("t1")
    (accepted,) = await at_last(lambda: bench.accept("t1"))
    assert accepted.status == "replayed"  # type: ignore[union-attr]


async def test_a_repeated_finish_is_as_durable_as_the_first(
    bench: Bench, servers: tuple[Running, Running]
) -> None:
    """On a connection of its own, which has written nothing that it could wait for."""
    await at_last(lambda: bench.accept("t1"))
    await bench.deliver("a")
    await at_last(lambda: bench.begin("t1", "a", "n1"))
    outcome = Outcome(
        id="t1", key_hash="", nonce="n1", to=State.SUCCEEDED, reason="",
        provider_reference="ref", evidence=b"",
    )  # fmt: skip
    fresh = connect(servers[0].url)
    again = Topups(fresh, partitions=1, window_ms=WINDOW_MS, replicas=1)
    with stopped(servers[1]):
        for topups in (bench.topups, again):
            with pytest.raises(NotDurable):
                await topups.finish(0, LANE, [outcome], terms=bench.terms)
    replies = await at_last(lambda: again.finish(0, LANE, [outcome], terms=bench.terms))
    assert replies == [("ok", "succeeded")]
    await fresh.aclose()


async def test_a_repeated_park_is_as_durable_as_the_first(
    bench: Bench, servers: tuple[Running, Running]
) -> None:
    """As with finish."""
    await at_last(lambda: bench.accept("t1"))
    await bench.deliver("a")
    await at_last(lambda: bench.begin("t1", "a", "n1"))
    with stopped(servers[1]):
        with pytest.raises(NotDurable):
            await bench.park("t1", "n1", "no")
        fresh, first = connect(servers[0].url), bench.topups
        bench.topups = Topups(fresh, partitions=1, window_ms=WINDOW_MS, replicas=1)
        with pytest.raises(NotDurable):
            await bench.park("t1", "n1", "no")
    assert await at_last(lambda: bench.park("t1", "n1", "no")) == ("ok", 0)
    bench.topups = first
    await fresh.aclose()


async def test_no_byte_goes_out_before_the_replica_has_the_attempt(
    bench: Bench, servers: tuple[Running, Running]
) -> None:
    """It is parked as surely not sent, once the replica is back."""
    bay = Bay(bench.client, partitions=1, size=1, replicas=1)
    await at_last(lambda: bench.accept("t1"))
    await bench.deliver("dead")
    bay.patron.goes_on.set()

    async def begun() -> bool:
        return (await bench.record("t1")).get("attempt") == "1"

    with stopped(servers[1]):
        await bay.lane.claim()
        await until(begun)
        with pytest.raises(NotDurable):  # so begin has waited in vain too
            await bench.accept("t2")
    await bay.lane.drain()
    record = await bench.record("t1")
    assert record["state"] == "waiting"
    assert (record["reason"], record.get("doubt", ""), bay.patron.asked) == ("not_sent", "", [])


async def test_what_was_read_is_kept_only_where_a_failover_cannot_undo_it(
    bench: Bench, servers: tuple[Running, Running]
) -> None:
    """Not without the replica; and what a failover has undone is not there any more."""
    await at_last(lambda: bench.accept("t1", "t2"))
    both = GroupReader(bench.client, group=DISPATCHER_GROUP, consumer="a")
    first, second = await both.read([bench.stream], count_max=10, block_ms=None)
    with stopped(servers[1]), pytest.raises(NotDurable):
        await both.keep([first, second], replicas=1)
    await bench.client.xdel(bench.stream, first.id)
    assert await at_last(lambda: both.keep([first, second], replicas=1)) == [second]


async def test_health_and_doctor_say_at_risk_without_the_replica(
    bench: Bench, servers: tuple[Running, Running]
) -> None:
    """By a trial; a server's settings do not tell what its replicas have on disk."""
    check = redis_check(bench.client, bench.topups)

    async def doctor(**told: str) -> str | None:
        environ = {"REDIS_URL": servers[0].url, **told}
        findings = [finding async for finding in check_streams(environ)]
        (found,) = [finding for finding in findings if finding.subject == "durability"]
        return found.remedy

    async def replicated() -> bool:
        return (await check()).details == {"durability": "replicated"}

    await until(replicated)
    assert await doctor(REDIS_REPLICAS="1") is None
    assert await doctor(REDIS_REPLICAS="0") is None
    assert "REDIS_REPLICAS=1" in (await doctor() or "")
    with stopped(servers[1]):
        condition = await check()
        assert (condition.status, condition.details) == ("degraded", {"durability": "at risk"})
        assert "REDIS_REPLICAS" in (await doctor(REDIS_REPLICAS="1") or "")
