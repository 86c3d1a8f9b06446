"""Connections to Valkey or Redis, with every default that could hurt us spelled out."""

from typing import Any, TypeAlias

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

COMMAND_TIMEOUT_S = 5.0
TRIAL_MS = (5, 50)
TRIALS_KEY = "topup:{0}:trials"
_REFUSALS = {
    "OOM": "its memory is full: raise its maxmemory",
    "READONLY": "it is a replica: name the primary, or promote it",
    "MISCONF": "it cannot write to its disk: free or mend that",
    "NOREPLICAS": "its replicas are away: start them",
}
"""What a server that answers and takes no write says first, and what to do about it."""

Client: TypeAlias = Any
"""A `redis.asyncio` client. Its own types make each reply a union of sync and async, RESP 2 and 3;
what replies really are is typed one floor up, in `shared.bus`."""


def connect(url: str, *, connections_max: int = 16) -> Client:
    """Return a client for commands; opens nothing yet."""
    return _client(url, connections_max=connections_max, socket_timeout=COMMAND_TIMEOUT_S)


def connect_blocking(url: str, *, connections_max: int = 64) -> Client:
    """Return a client for reads that block; its socket waits as long as the read does."""
    return _client(url, connections_max=connections_max, socket_timeout=None)


def _client(url: str, *, connections_max: int, socket_timeout: float | None) -> Client:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections_max,
        timeout=COMMAND_TIMEOUT_S,
        protocol=2,
        retry=Retry(
            NoBackoff(), 0
        ),  # a repeated XADD is a second sale; we repeat with the same ids
        socket_timeout=socket_timeout,
        socket_connect_timeout=2.0,
        socket_keepalive=True,
        health_check_interval=0,
    )
    return Redis.from_pool(pool)


async def refuses_writes(client: Client) -> str | None:
    """Say why the server takes no write, and what to do; None where it takes them.

    Asks with a write that changes nothing: it is looked at as any other, and is on no disk.
    """
    try:
        await client.setrange(TRIALS_KEY, 0, "")
    except (OutOfMemoryError, ReadOnlyError) as problem:
        code = "OOM" if isinstance(problem, OutOfMemoryError) else "READONLY"
    except ResponseError as problem:
        code = str(problem).partition(" ")[0]
    else:
        return None
    return _REFUSALS.get(code)


async def durability(client: Client, *, replicas: int = 0) -> str:
    """Say what an answered write is worth, by the server's settings or, with replicas, by a trial.

    `fsync`, `replicated`, `at risk`, or `unknown` where the settings are secret.
    """
    if replicas:
        async with client.pipeline(transaction=False) as pipe:
            pipe.incr(TRIALS_KEY)
            for wait_ms in TRIAL_MS:
                pipe.execute_command("WAITAOF", 1, replicas, wait_ms)
            *_, kept = await pipe.execute(raise_on_error=False)
        safe = not isinstance(kept, Exception) and kept[0] >= 1 and kept[1] >= replicas
        return "replicated" if safe else "at risk"
    try:
        found = await client.config_get("append*")
    except ResponseError:
        return "unknown"
    safe = found.get("appendonly") == "yes" and found.get("appendfsync") == "always"
    return "fsync" if safe else "at risk"
