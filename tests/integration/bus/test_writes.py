"""A server that answers and takes no write is not well; health and doctor say what to do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from ops.checks.streams import check_streams
from ops.embedded import Running
from shared.bus.topups import Topups
from shared.runtime.redis import Client, connect
from shared.runtime.worth import TRIALS_KEY, refuses_writes
from shared.web.checks import redis_check, writes_check

pytestmark = pytest.mark.integration

REFUSALS = {
    "memory is full": {"maxmemory": "1", "maxmemory-policy": "noeviction"},
    "replicas are away": {"min-replicas-to-write": "1"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Valkey whose settings may be changed."""
    running = Running.valkey(tmp_path_factory.mktemp("valkey"))
    yield running
    running.stop()


@pytest.fixture
async def client(server: Running) -> AsyncIterator[Client]:
    """A client of it."""
    client = connect(server.url)
    yield client
    await client.aclose()


async def doctor(server: Running) -> str:
    """Return what doctor finds of writes."""
    findings = [one async for one in check_streams({"REDIS_URL": server.url})]
    (found,) = [one for one in findings if one.subject == "writes"]
    return f"{found.found} {found.remedy}"


async def test_a_trial_leaves_nothing_behind(client: Client) -> None:
    """It is asked once a second and more: no key, no byte for the disk."""
    before = (await client.info("persistence"))["aof_current_size"]
    assert await refuses_writes(client) is None
    assert await client.exists(TRIALS_KEY) == 0
    assert (await client.info("persistence"))["aof_current_size"] == before
    assert (
        await redis_check(client, Topups(client, partitions=1, window_ms=1))()
    ).status == "healthy"


async def test_however_often_health_is_asked_the_disk_is_tried_once(client: Client) -> None:
    """A probe waits for nobody's disk, and so no slow disk makes a replica look dead."""
    check = redis_check(client, Topups(client, partitions=1, window_ms=1))
    assert (await check()).details == {"durability": "fsync"}
    before = (await client.info("persistence"))["aof_current_size"]
    for _ in range(20):
        assert (await check()).details == {"durability": "fsync"}
    assert (await client.info("persistence"))["aof_current_size"] == before


@pytest.mark.parametrize("problem", REFUSALS)
async def test_what_refuses_writes_is_named(server: Running, client: Client, problem: str) -> None:
    """Degraded, not unhealthy: what is there can still be read."""
    settings = REFUSALS[problem]
    before = {name: (await client.config_get(name))[name] for name in settings}
    for name, value in settings.items():
        await client.config_set(name, value)
    try:
        for check in (
            redis_check(client, Topups(client, partitions=1, window_ms=1)),
            writes_check(client),
        ):
            found = await check()
            assert (found.connected, found.status) == (True, "degraded")
            assert problem in found.details["problem"]
        assert problem in await doctor(server)
    finally:
        for name, value in before.items():
            await client.config_set(name, value)
    assert (
        await redis_check(client, Topups(client, partitions=1, window_ms=1))()
    ).status == "healthy"


async def test_a_replica_is_not_written_to(server: Running, client: Client) -> None:
    """As after a failover that the address did not follow."""
    await client.replicaof("127.0.0.1", "1")
    try:
        assert (
            "it is a replica"
            in (await redis_check(client, Topups(client, partitions=1, window_ms=1))()).details[
                "problem"
            ]
        )
        assert "it is a replica" in await doctor(server)
    finally:
        await client.replicaof("NO", "ONE")


class FullDisk:
    """Stands for a server whose disk is full: that cannot be had here without a disk to fill."""

    async def setrange(self, *_: object) -> None:
        raise ResponseError("MISCONF Errors writing to the AOF file: No space left on device")


async def test_a_full_disk_is_named() -> None:
    """By the word that the server begins with."""
    assert "disk" in (await refuses_writes(FullDisk()) or "")


async def test_what_says_nothing_of_writes_is_no_refusal(tmp_path: Path) -> None:
    """A user that may not try has its rights in doubt, not the server."""
    running = await asyncio.to_thread(Running.valkey, tmp_path)
    try:
        client = connect(running.url)
        await client.execute_command("ACL", "SETUSER", "default", "-setrange")
        assert await refuses_writes(client) is None
        await client.aclose()
    finally:
        await asyncio.to_thread(running.stop)
