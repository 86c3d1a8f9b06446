"""Connections to Valkey or Redis, with every default that could hurt us spelled out."""

from collections.abc import Awaitable, Sequence
from typing import Any, Self, TypeAlias, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

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

Client: TypeAlias = Any
"""What `connect` returns. redis-py's types make each reply a union of sync and async, RESP 2 and 3;
what replies really are is typed one floor up, in `shared.bus`."""


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
