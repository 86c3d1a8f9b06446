"""Connections to Valkey or Redis, with every default that could hurt us spelled out."""

from typing import Any, TypeAlias

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

COMMAND_TIMEOUT_S = 5.0

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


async def durability(client: Client) -> str:
    """Say what an answered write is worth: `fsync`, `at risk`, or `unknown` where it is secret."""
    try:
        found = await client.config_get("append*")
    except ResponseError:
        return "unknown"
    safe = found.get("appendonly") == "yes" and found.get("appendfsync") == "always"
    return "fsync" if safe else "at risk"
