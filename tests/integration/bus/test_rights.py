"""Each service's user at the server: what it may not do is refused, and a deployment makes it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from ops.embedded import Running
from shared.bus import functions
from shared.bus.deploy import DeploySettings, deploy
from shared.bus.rights import RIGHTS, user_of
from shared.bus.topups import Topups
from shared.contracts.errors import NotAccepted
from shared.contracts.states import State
from shared.runtime.redis import Client, connect
from shared.runtime.worth import durability
from tests.integration.bus.bench import LANE, WINDOW_MS, Bench
from tests.rights import as_service

pytestmark = pytest.mark.integration


@asynccontextmanager
async def served_as(redis_url: str, service: str) -> AsyncIterator[Client]:
    """A connection with a service's rights."""
    client = connect(as_service(redis_url, service))
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture
async def work(bench: Bench) -> Bench:
    """A lane with a topup that a dispatcher has in hand, and an outcome that nobody has booked."""
    await bench.accept("t1", "t2")
    await bench.deliver("a")
    await bench.start("t1")
    await bench.start("t2", nonce="n2")
    await bench.finish("t2", "n2", State.SUCCEEDED)
    return bench


TAKING = [
    "XACK {lane} dispatcher {entry}",
    "XACK {outcomes} ledger {entry}",
    "XTRIM {lane} MAXLEN 0",
    "XTRIM {outcomes} MAXLEN 0",
    "XDEL {lane} {entry}",
    "XREADGROUP GROUP dispatcher me STREAMS {lane} >",
    "XCLAIM {lane} dispatcher me 0 {entry}",
    "XAUTOCLAIM {lane} dispatcher me 0 0",
    "XGROUP DESTROY {lane} dispatcher",
    "XGROUP SETID {lane} dispatcher $",
    "XGROUP DELCONSUMER {lane} dispatcher a",
    "XSETID {lane} 0-1",
    "DEL {lane}",
    "UNLINK {outcomes}",
    "PEXPIRE {outcomes} 1",
    "SET {outcomes} x",
    "RENAME {lane} elsewhere",
    "FLUSHALL",
]
LOOKING = [
    "KEYS *",
    "SCAN 0",
    "CONFIG GET requirepass",
    "ACL LIST",
    "MONITOR",
    "CLIENT LIST",
    "GET other",
]
RULING = [
    "FUNCTION FLUSH", "ACL SETUSER topup-gateway +@all", "CONFIG SET appendfsync no", "SHUTDOWN",
    "EVAL return 0", "SCRIPT FLUSH", "REPLICAOF no one", "XADD topup:keys * a b",
]  # fmt: skip


@pytest.mark.parametrize("command", [*TAKING, *LOOKING, *RULING])
async def test_a_gateway_takes_nothing_away(work: Bench, redis_url: str, command: str) -> None:
    """It can neither acknowledge nor trim nor delete, and rules nobody."""
    ((entry, _),) = await work.client.xrange(work.stream, count=1)
    words = command.format(
        lane=work.stream, outcomes=work.keys.outcomes, entry=entry.decode()
    ).split()
    before = await work.snapshot()
    async with served_as(redis_url, "gateway") as gateway:
        with pytest.raises(NoPermissionError):
            await gateway.execute_command(*words)
    assert await work.snapshot() == before


async def test_a_function_gives_a_gateway_no_right_that_it_lacks(
    work: Bench, redis_url: str
) -> None:
    """What trims, claims or begins fails at its own first such command."""
    pending = await work.pending()
    async with served_as(redis_url, "gateway") as gateway:
        call: Any = gateway.line.ask
        for name, keys, args in (
            ("trim", [work.stream], [0, "dispatcher", "ledger"]),
            ("trim", [work.keys.outcomes], [0, "ledger"]),
            ("claim", [work.stream, work.keys.alive], ["dispatcher", "me", 10]),
            ("clear", [work.keys.dead, work.keys.dead_done], [0]),
        ):
            with pytest.raises(ResponseError, match="no permissions"):
                await call("FCALL", f"topups1_{name}", len(keys), *keys, *args)
    assert await work.client.xlen(work.stream) == 2
    assert await work.client.xlen(work.keys.outcomes) == 1
    assert await work.pending() == pending


@pytest.mark.parametrize(
    ("service", "command"),
    [
        ("dispatcher", "XTRIM {lane} MAXLEN 0"),
        ("dispatcher", "XDEL {lane} 0-1"),
        ("dispatcher", "XACK {outcomes} ledger 0-1"),
        ("dispatcher", "XRANGE {outcomes} - +"),
        ("dispatcher", "XRANGE topup:keys - +"),
        ("dispatcher", "HSET {meta} generation x"),
        ("dispatcher", "SET {record} x"),
        ("dispatcher", "DEL {record}"),
        ("ledger", "HSET {record} state succeeded"),
        ("ledger", "PEXPIRE {record} 1"),
        ("ledger", "SET {key} x"),
        ("ledger", "XADD {lane} * a b"),
        ("ledger", "XADD {outcomes} * a b"),
        ("ledger", "XADD topup:keys * a b"),
        ("ledger", "XDEL {lane} 0-1"),
        ("ratelimiter", "HGETALL {record}"),
        ("ratelimiter", "XRANGE {lane} - +"),
        ("ratelimiter", "XADD {lane} * a b"),
        ("ratelimiter", "FCALL topups1_look 1 {meta}"),
    ],
)
async def test_no_service_does_anothers_work(
    redis: Client, redis_url: str, service: str, command: str
) -> None:
    """A dispatcher books nothing, a ledger sells nothing, a ratelimiter knows no topup."""
    names = Topups(redis, partitions=1, window_ms=WINDOW_MS).keys[0]
    words = command.format(
        lane=names.requests(LANE), outcomes=names.outcomes, meta=names.meta,
        record=names.record("t1"), key=names.key("k1"),
    ).split()  # fmt: skip
    async with served_as(redis_url, service) as client:
        with pytest.raises(NoPermissionError):
            await client.execute_command(*words)


@pytest.mark.parametrize("service", ["gateway", "dispatcher", "ledger"])
async def test_a_service_loads_no_code(redis: Client, redis_url: str, service: str) -> None:
    """Who could replace a function would have the rights of all who call it."""
    await redis.execute_command("FUNCTION", "FLUSH")
    async with served_as(redis_url, service) as client:
        with pytest.raises(NoPermissionError, match="run: topup migrate"):
            await functions.load(client)
        topups = Topups(client, partitions=1, window_ms=WINDOW_MS)
        with pytest.raises(NotAccepted, match="run: topup migrate"):
            await topups.verified(0)
        await functions.load(redis)
        assert not await functions.load(client)
        await topups.prepare(LANE)


async def test_a_service_sees_by_a_trial_what_a_write_is_worth(
    redis: Client, redis_url: str
) -> None:
    """It may not read the settings; a server that syncs now and then is found out by looking."""
    async with served_as(redis_url, "gateway") as gateway:
        assert await durability(gateway) == "fsync"
        await redis.config_set("appendfsync", "everysec")
        try:
            async with asyncio.timeout(30):
                while await durability(gateway) != "at risk":
                    pass
            await redis.config_set("appendonly", "no")
            assert await durability(gateway) == "at risk"
        finally:
            await redis.config_set("appendonly", "yes")
            await redis.config_set("appendfsync", "always")


async def test_a_deployment_makes_the_users_and_the_server_keeps_them(tmp_path: Path) -> None:
    """Each with its password, after a restart too; a new password ends the old one."""
    server, limits = Running.valkey(tmp_path / "valkey"), Running.valkey(tmp_path / "limits")

    async def deployed(password: str) -> None:
        passwords = {f"{service}_password": f"{password}-{service}" for service in RIGHTS}
        settings = {"redis_url": server.url, "limiter_redis_url": limits.url, **passwords}
        await deploy(DeploySettings(**settings))

    async def named(service: str, password: str) -> str:
        url = limits.url if service == "ratelimiter" else server.url
        place = url.rpartition("@")[2]
        client = connect(f"redis://{user_of(service)}:{password}-{service}@{place}")
        try:
            return str(await client.ping())
        finally:
            await client.aclose()

    try:
        await deployed("first")
        server.kill()
        server.revive()
        for service in RIGHTS:
            assert await named(service, "first") == "True"
        await deployed("second")
        for service in RIGHTS:
            assert await named(service, "second") == "True"
            with pytest.raises(AuthenticationError):
                await named(service, "first")
    finally:
        server.stop()
        limits.stop()
