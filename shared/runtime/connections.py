"""How requests reach a server: all on one connection, or one that may wait on one of its own."""

import asyncio
import random
import socket
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio.connection import Connection as Template
from redis.asyncio.connection import SSLConnection
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.runtime.resp import IN_FLIGHT_MAX, Command, Connection, NotSent

COMMAND_TIMEOUT_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 2.0
SILENT_TCP: Final = {
    socket.TCP_KEEPIDLE: 5,
    socket.TCP_KEEPINTVL: 2,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 10_000,
}
"""Where nothing comes back from the other machine the kernel ends a connection: an idle one after
some seconds, one with bytes under way after 10, when each of our own deadlines is over."""
PAUSE_S_MIN: Final = 0.02
PAUSE_S_MAX: Final = 0.5


_CLOSED: Final = "the client is closed"


class Server:
    """Where connections lead, and as whom; `template` has what redis-py read from the URL."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._where = f"{template.host}:{template.port}"
        self._pause_s = 0.0
        self._not_before = 0.0
        self._problem = ""

    async def connect(self) -> Connection:
        """Return a new connection, ready for commands.

        After a failure the next attempt waits: until then everybody is refused, for the same
        reason. The pause grows from 20 to 500 ms, and differs between processes.

        Raises:
            NotSent: there is none to be had.
            AuthenticationError: not with this name and password.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            raise NotSent(self._problem)
        try:
            connection = await self._open()
        except (NotSent, AuthenticationError) as problem:
            self._problem = str(problem)
            self._pause_s = min(PAUSE_S_MAX, max(PAUSE_S_MIN, 2 * self._pause_s))
            spread = random.uniform(0.5, 1)  # noqa: S311 - spreads attempts only
            self._not_before = loop.time() + self._pause_s * spread
            raise
        self._pause_s = 0.0
        return connection

    async def _open(self) -> Connection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await self._reach()
        except TimeoutError:
            raise NotSent(f"Timeout connecting to {self._where}") from None
        except (OSError, ValueError, RedisError) as problem:
            said = getattr(problem, "strerror", None) or str(problem)
            raise NotSent(f"Error connecting to {self._where}: {said}") from problem
        try:
            await self._introduce(connection)
        except AuthenticationError:
            connection.abort()
            raise
        except RedisError as problem:
            connection.abort()
            raise NotSent(f"Error connecting to {self._where}: {problem}") from problem
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _reach(self) -> Connection:
        template = self._template
        secure = template.ssl_context.get() if isinstance(template, SSLConnection) else None
        transport, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._where), template.host, template.port, ssl=secure
        )
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in SILENT_TCP.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        return connection

    async def _introduce(self, connection: Connection) -> None:
        """Say who asks, and for which database, before the first command."""
        template = self._template
        commands: list[Command] = []
        if template.username or template.password:
            named = (template.username,) if template.username else ()
            commands.append(("AUTH", *named, template.password or ""))
        if template.client_name:
            commands.append(("CLIENT", "SETNAME", template.client_name))
        if template.db:
            commands.append(("SELECT", template.db))
        if commands:
            for reply in await connection.send(commands, COMMAND_TIMEOUT_S):
                if isinstance(reply, Exception):
                    raise reply


class Line:
    """One connection for everybody's commands; opened when asked, and again after it broke.

    A command that makes others wait (BLOCK, WAITAOF) or changes the connection (MULTI, SELECT) has
    no place here.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._waiting = 0
        self._closed = asyncio.Event()

    async def ask(self, *command: str | bytes | float) -> Any:  # noqa: ANN401 - typed by who asks
        """Return the reply to one command; it is sent at most once.

        Raises:
            NotSent: nothing was done.
            RedisConnectionError, RedisTimeoutError: no answer; it may have been done.
            RedisError: the server's own, by redis-py's names.
        """
        (reply,) = await self.ask_each((command,))
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def ask_each(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands sent together, errors among them; raises as `ask`."""
        if not commands:
            return []
        connection = self._connection
        if connection is None or not connection.usable:
            connection = await self._opened()
        return await connection.send(commands, COMMAND_TIMEOUT_S)

    async def aclose(self) -> None:
        """Close the connection for good; whoever still waits for an answer is left without it."""
        self._closed.set()
        if self._connection is not None:
            self._connection.abort()
            await self._connection.closed()

    async def _opened(self) -> Connection:
        if self._waiting >= IN_FLIGHT_MAX:
            raise NotSent(f"{self._waiting} wait for a connection already")
        self._waiting += 1
        try:
            async with self._opening:
                if self._closed.is_set():
                    raise NotSent(_CLOSED)
                if self._connection is None or not self._connection.usable:
                    self._connection = await self._server.connect()
                    if self._closed.is_set():  # meanwhile: nobody would close it any more
                        self._connection.abort()
                        raise NotSent(_CLOSED)
                return self._connection
        finally:
            self._waiting -= 1


class Lines:
    """A connection of its own for each request that may wait at the server, and then the next."""

    def __init__(self, server: Server, *, connections_max: int) -> None:
        self._server = server
        self.connections_max = connections_max
        self._places = asyncio.Semaphore(connections_max)
        self._waiting = 0
        self._closed = asyncio.Event()
        self._idle: list[Connection] = []
        self._lent: set[Connection] = set()

    async def ask(self, *command: str | bytes | float, answer_s: float) -> Any:  # noqa: ANN401 - typed by who asks
        """Return the reply to one command, within `answer_s`; raises as `Line.ask`."""
        (reply,) = await self.ask_each((command,), answer_s=answer_s)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def ask_each(self, commands: Sequence[Command], *, answer_s: float) -> list[Any]:
        """Return the replies to commands sent together, errors among them; raises as `Line.ask`.

        Cancelled, or without an answer, it ends the connection: the server must not go on waiting
        for somebody who has left. Without an answer all idle ones end too: a network that has
        silently lost one has lost those as well, and each would cost somebody his deadline.
        """
        await self._take_place()
        try:
            connection = await self._connection()
            self._lent.add(connection)
            try:
                replies = await connection.send(commands, answer_s)
            except BaseException as problem:
                connection.abort()
                if isinstance(problem, RedisTimeoutError):
                    self._end_idle()
                raise
            finally:
                self._lent.discard(connection)
            if self._closed.is_set():
                connection.abort()
            else:
                self._idle.append(connection)
            return replies
        finally:
            self._places.release()

    async def aclose(self) -> None:
        """Close all connections for good, those too that somebody waits on."""
        self._closed.set()
        connections = [*self._idle, *self._lent]
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.closed()

    async def _connection(self) -> Connection:
        if self._closed.is_set():
            raise NotSent(_CLOSED)
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        connection = await self._server.connect()
        if self._closed.is_set():  # meanwhile: nobody would close it any more
            connection.abort()
            raise NotSent(_CLOSED)
        return connection

    def _end_idle(self) -> None:
        while self._idle:
            self._idle.pop().abort("the network has lost another one")

    async def _take_place(self) -> None:
        if self._waiting >= IN_FLIGHT_MAX:
            raise NotSent(f"{self._waiting} wait for a connection already")
        self._waiting += 1
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S if self._places.locked() else None):
                await self._places.acquire()
        except TimeoutError:
            raise NotSent("No connection available.") from None
        finally:
            self._waiting -= 1
