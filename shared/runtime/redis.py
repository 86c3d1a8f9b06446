"""Connections to Valkey or Redis, with every default that could hurt us spelled out."""

import asyncio
import os
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias, cast

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from shared.runtime.addresses import CLUSTER
from shared.runtime.cluster import Cluster
from shared.runtime.connections import (
    COMMAND_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    SILENT_TCP,
    Line,
    Lines,
    Server,
)
from shared.runtime.resp import Command

CONNECTIONS_MAX = 16
LINES_MAX = 80
READS_MAX = 8
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
"""What `connect` returns. redis-py's types make each reply a union of sync and async, RESP 2 and 3;
what replies really are is typed one floor up, in `shared.bus`."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What a server has taken, and may take, in bytes; the disk's are None where it is not ours."""

    memory_used: int
    memory_max: int
    disk_free: int | None = None
    disk_size: int | None = None


class _Client(Redis):
    """redis-py's client for what is rare, with three lean ways beside it.

    `line` is for commands that come with every topup, `lines` for writes that wait for replicas,
    `reads` for reads that wait for something to read: of those each has its place for good, and
    they take none from writes.
    Whoever asks names a key: of one server it has every one, a `Cluster` finds who has it.
    """

    line: Line
    lines: Lines
    reads: Lines

    def ask(self, _key: str, *command: str | bytes | float) -> Awaitable[Any]:
        """Return the reply to one command about this key; raises as `Line.ask`."""
        return self.line.ask(*command)

    def ask_each(self, _key: str, commands: Sequence[Command]) -> Awaitable[list[Any]]:
        """Return the replies to commands sent together to who has this key, errors among them."""
        return self.line.ask_each(commands)

    def ask_patiently(
        self, _key: str, commands: Sequence[Command], *, answer_s: float
    ) -> Awaitable[list[Any]]:
        """Do the same with writes that wait for replicas, on a connection of their own."""
        return self.lines.ask_each(commands, answer_s=answer_s)

    def read_patiently(
        self, _key: str, command: Command, *, answer_s: float
    ) -> Awaitable[list[Any]]:
        """Do the same with a read that waits for something to read; writes wait for none."""
        return self.reads.ask_each((command,), answer_s=answer_s)

    async def at(self, _key: str) -> Self:
        """Return the client of the server that has this key."""
        return self

    async def by_server(self, keys: Sequence[str]) -> list[list[str]]:
        """Return the keys in groups, each of one server as of now."""
        return [list(keys)]

    def together(self, keys: Sequence[str]) -> list[list[str]]:
        """Return the keys in groups, each of which one command may name for ever."""
        return [list(keys)]

    async def servers(self) -> list[Self]:
        """Return the clients of all servers that have keys."""
        return [self]

    async def nodes(self) -> list[Self]:
        """Return the clients of all servers that may have keys one day."""
        return [self]

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001 - redis-py's
        """Close all connections."""
        await self.line.aclose()
        await self.lines.aclose()
        await self.reads.aclose()
        await super().aclose(close_connection_pool)


def connect(url: str, *, reads_max: int = READS_MAX) -> Client:
    """Return a client of a server, or of the cluster that a URL on `+cluster://` names.

    Opens nothing yet. So many reads may wait at a server at once.
    """
    scheme, _, rest = url.partition("://")
    if not scheme.endswith(CLUSTER):
        return _connect(url, reads_max=reads_max)
    access, at, place = rest.rpartition("@")
    nodes, _, options = place.partition("?")
    front = f"{scheme.removesuffix(CLUSTER)}://{access}{at}"
    return Cluster(
        [node if ":" in node else f"{node}:6379" for node in nodes.rstrip("/").split(",")],
        lambda node: _connect(f"{front}{node}?{options}", reads_max=reads_max),
    )


def _connect(url: str, *, reads_max: int) -> _Client:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS_MAX,
        timeout=COMMAND_TIMEOUT_S,
        protocol=2,
        retry=Retry(
            NoBackoff(), 0
        ),  # a repeated XADD is a second sale; we repeat with the same ids
        socket_timeout=COMMAND_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_keepalive=True,
        socket_keepalive_options=SILENT_TCP,
        health_check_interval=0,
    )
    client = cast("_Client", _Client.from_pool(pool))
    server = Server(cast("Any", pool).make_connection())
    client.line = Line(server)
    client.lines = Lines(server, connections_max=LINES_MAX)
    client.reads = Lines(server, connections_max=reads_max)
    return client


async def refuses_writes(client: Client, *, key: str = TRIALS_KEY) -> str | None:
    """Say why the key's server takes no write, and what to do; None where it takes them.

    Asks with a write that changes nothing: it is looked at as any other, and is on no disk.
    """
    try:
        await client.setrange(key, 0, "")
    except (OutOfMemoryError, ReadOnlyError) as problem:
        code = "OOM" if isinstance(problem, OutOfMemoryError) else "READONLY"
    except ResponseError as problem:
        code = str(problem).partition(" ")[0]
    else:
        return None
    return _REFUSALS.get(code)


async def durability(client: Client, *, replicas: int = 0, key: str = TRIALS_KEY) -> str:
    """Say by a trial what an answered write is worth: `fsync`, `replicated` or `at risk`.

    A service may not read the server's settings, which hold passwords. Of a server that syncs once
    a second a trial may be on disk at once; one of the next is not. One from before WAITAOF (Redis
    7.0) is asked for its settings all the same.
    """
    first_ms, then_ms = TRIAL_MS
    trial: list[Command] = [("INCR", key), ("WAITAOF", 1, replicas, first_ms)]
    if replicas:
        trial += [("WAITAOF", 1, replicas, then_ms)]
    else:
        trial += [("INCR", key), ("WAITAOF", 1, 0, first_ms)]
    written, *_, kept = await client.ask_patiently(key, trial, answer_s=COMMAND_TIMEOUT_S)
    if isinstance(kept, ResponseError) and "unknown command" in str(kept):
        return await durability_set(await client.at(key))
    failed = isinstance(written, Exception) or isinstance(kept, Exception)
    if failed or kept[0] < 1 or kept[1] < replicas:
        return "at risk"
    return "replicated" if replicas else "fsync"


async def durability_set(client: Client) -> str:
    """Return `fsync` or `at risk`, by the server's settings, or `unknown` where they are secret."""
    try:
        found = await client.config_get("append*")
    except ResponseError:
        return "unknown"
    safe = found.get("appendonly") == "yes" and found.get("appendfsync") == "always"
    return "fsync" if safe else "at risk"


async def room(client: Client) -> Room:
    """Return how much room the server has; that of its disk where it is on this machine.

    Raises:
        RedisError: it does not answer.
    """
    memory = await client.info("memory")
    used, at_most = memory["used_memory"], memory.get("maxmemory", 0)
    at_most = at_most or memory.get("total_system_memory", 0)
    folder = await _folder_here(client)
    if folder is None:
        return Room(memory_used=used, memory_max=at_most)
    disk = await asyncio.to_thread(os.statvfs, folder)
    return Room(
        memory_used=used,
        memory_max=at_most,
        disk_free=disk.f_bavail * disk.f_frsize,
        disk_size=disk.f_blocks * disk.f_frsize,
    )


async def _folder_here(client: Client) -> Path | None:
    """Return where it keeps its data, if that is a folder of this machine."""
    if client.connection_pool.connection_kwargs.get("host") not in (
        "127.0.0.1",
        "::1",
        "localhost",
    ):
        return None
    beside = Path((await client.info("server")).get("config_file") or "/")
    if await asyncio.to_thread(_has, beside.parent / "appendonlydir"):
        return beside.parent
    try:
        told = await client.config_get("dir", "appenddirname")
    except ResponseError:  # its settings are secret
        return None
    folder = Path(told["dir"])
    there = await asyncio.to_thread(_has, folder / told.get("appenddirname", ""))
    return folder if there else None


def _has(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # a parent that others may not look into
        return False
