"""A TCP link between two parts of the system, and the weather that networks have."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial
from typing import Final

CHUNK: Final = 65_536
SLOW_S: Final = 0.3
DRIBBLED: Final = 256
"""So many bytes of each chunk go one by one; the rest follows whole, or a run would never end."""

Address = tuple[str, int]
Upstream = Callable[[], Awaitable[Address]]


class Weather(StrEnum):
    """What happens to the bytes of a link."""

    FINE = "fine"
    CUT = "cut"  # connections are reset, new ones too
    STALL = "stall"  # nothing moves, and comes through afterwards
    HALF_OPEN = "half_open"  # the other side is gone, and nobody says so
    DELAY = "delay"
    ANSWER_LOST = "answer_lost"  # the request went through, its answer does not come
    DRIBBLE = "dribble"  # byte by byte


class Connection:
    """One client's connection; a deaf one stays open and carries nothing any more."""

    def __init__(self, number: int, side: int, client: asyncio.StreamWriter) -> None:
        self.number = number
        self.side = side
        self.writers = [client]
        self.deaf = False

    def abort(self) -> None:
        """Reset both sides."""
        for writer in self.writers:
            writer.transport.abort()


class Link:
    """Listens on ports of its own and carries what comes there to `upstream`.

    It has two sides, so that the weather can be another one for half of those who use it.
    """

    sides: Final = 2

    def __init__(self, name: str, upstream: Upstream) -> None:
        self.name = name
        self.ports: list[int] = []
        self._upstream = upstream
        self._weather = Weather.FINE
        self._one_in = 1
        self._side: int | None = None
        self._moves = asyncio.Event()
        self._moves.set()
        self._connections: set[Connection] = set()
        self._count = 0
        self._servers: list[asyncio.Server] = []

    @property
    def port(self) -> int:
        """The first side's."""
        return self.ports[0]

    async def open(self) -> None:
        """Listen."""
        for side in range(self.sides):
            server = await asyncio.start_server(
                partial(self._carry, side), "127.0.0.1", 0, backlog=4_096
            )
            self._servers.append(server)
            self.ports.append(server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Accept no more and end what is there."""
        for server in self._servers:
            server.close()
        self.heal()
        for connection in list(self._connections):
            connection.abort()

    def suffer(self, weather: Weather, *, one_in: int = 1, side: int | None = None) -> None:
        """Let the weather hit one in so many connections, of one side or of both, new ones too."""
        self._weather, self._one_in, self._side = weather, one_in, side
        if weather is Weather.STALL:
            self._moves.clear()
        for connection in [c for c in self._connections if self._is_hit(c)]:
            if weather is Weather.CUT:
                connection.abort()
            elif weather is Weather.HALF_OPEN:
                connection.deaf = True

    def heal(self) -> None:
        """Let everything through again; what is deaf stays deaf until its client gives up."""
        self._weather = Weather.FINE
        self._moves.set()

    def _is_hit(self, connection: Connection) -> bool:
        if self._weather is Weather.FINE or self._side not in (None, connection.side):
            return False
        return connection.number % self._one_in == 0

    async def _carry(
        self, side: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._count += 1
        connection = Connection(self._count, side, writer)
        self._connections.add(connection)
        try:
            if self._weather is Weather.CUT and self._is_hit(connection):
                return
            host, port = await self._upstream()
            back, forth = await asyncio.open_connection(host, port)
            connection.writers.append(forth)
            connection.deaf = self._weather is Weather.HALF_OPEN and self._is_hit(connection)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(connection, reader, forth, answers=False))
                both.create_task(self._pump(connection, back, writer, answers=True))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(connection)
            connection.abort()

    async def _pump(
        self,
        connection: Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        while data := await reader.read(CHUNK):
            if not connection.deaf:
                await self._deliver(connection, data, writer, answers=answers)
        if connection.deaf:
            raise ConnectionAbortedError(self.name)
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    async def _deliver(
        self, connection: Connection, data: bytes, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        weather = self._weather if self._is_hit(connection) else Weather.FINE
        if weather is Weather.ANSWER_LOST and answers:
            raise ConnectionAbortedError(self.name)
        if weather is Weather.STALL:
            await self._moves.wait()
        elif weather is Weather.DELAY:
            await asyncio.sleep(SLOW_S)
        elif weather is Weather.DRIBBLE:
            data = await _dribble(writer, data)
        if writer.transport.is_closing():
            raise ConnectionAbortedError(self.name)
        writer.write(data)
        await writer.drain()


async def _dribble(writer: asyncio.StreamWriter, data: bytes) -> bytes:
    """Send the first bytes one at a time; return the rest."""
    for place in range(min(len(data), DRIBBLED)):
        if writer.transport.is_closing():
            break
        writer.write(data[place : place + 1])
        await asyncio.sleep(0)
    return data[DRIBBLED:]
