"""The one way out to a provider: one request on the wire for each call, and a bounded answer.

Whether a byte can have left is not guessed from the kind of error: the permit is asked, and the
fact noted, in the step that writes.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final, Protocol

import aiohappyeyeballs
from yarl import URL

from services.dispatcher.providers.adapter import NotSent, Unknown
from shared.web.client import BrokenAnswer, Connection, Reply

CONNECT_MS_MAX: Final = 3_000
IDLE_S_MAX: Final = 4.0
"""Shorter than servers wait (5 s at the shortest): they must not be the ones to close."""
HEADS_MAX: Final = 64
"""Heads kept as they go out: most requests of a token's life have the same one."""
SECOND_ADDRESS_S: Final = 0.25
"""How long a host's first address is tried alone (RFC 8305, section 8)."""
_SAID: Final = {
    "accept": "application/json",
    "accept-encoding": "identity",  # a small answer must not unfold into a big one
    "user-agent": "topup",
}

Origin = tuple[str, str, int]


class Permit(Protocol):
    """The part of an attempt that the wire needs."""

    def may_send(self) -> bool:
        """To be asked directly before the write; False: write nothing."""
        ...

    def was_sent(self) -> None:
        """To be told once the request has been handed to the kernel."""
        ...


class Free:
    """The permit of a request that moves no money."""

    def may_send(self) -> bool:
        """Allow it."""
        return True

    def was_sent(self) -> None:
        """Need not know."""


def connect_ms(answer_timeout_ms: int) -> int:
    """Return how long a provider whose answers may take so long may take to accept a connection."""
    return min(CONNECT_MS_MAX, answer_timeout_ms // 2)


class Wire:
    """Connections to one provider, kept between calls; opens nothing before the first one.

    No limit of its own: as many calls at once as the dispatcher has slots. `answer_timeout_ms` is
    also how long the kernel goes on trying to deliver what was written.
    """

    def __init__(self, *, connect_timeout_ms: int, answer_timeout_ms: int) -> None:
        self._connect_s = connect_timeout_ms / 1_000
        self._user_timeout_ms = answer_timeout_ms
        self._idle: dict[Origin, deque[Connection]] = {}

    async def call(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        permit: Permit,
        answer_timeout_ms: int,
    ) -> Reply | NotSent | Unknown:
        """Make one request; NotSent and Unknown say whether a byte of it can have left."""
        exchange = _Exchange(permit, answer_timeout_ms)
        try:
            request = _written(method, url, headers, body)
            reply = await self._exchange(exchange, url, request)
        except (BrokenAnswer, OSError, ValueError) as problem:
            return exchange.verdict(problem)
        return NotSent(exchange.withheld) if reply is None else reply

    async def close(self) -> None:
        """Let go of all connections."""
        for kept in self._idle.values():
            while kept:
                kept.pop().abort()

    @property
    def kept(self) -> int:
        """How many connections wait for a next request."""
        return sum(connection.usable for kept in self._idle.values() for connection in kept)

    async def _exchange(self, exchange: "_Exchange", url: URL, request: bytes) -> Reply | None:
        origin = (url.scheme, url.host or "", url.port or 0)
        connection = self._kept(origin) or await self._opened(exchange, origin)
        if not exchange.may_write(usable=connection.usable):
            connection.abort()
            return None
        try:
            reply = await exchange.write(connection, request)
        except BaseException:
            connection.abort()
            raise
        self._keep(origin, connection)
        return reply

    def _kept(self, origin: Origin) -> Connection | None:
        """Return the connection used last of those that can be used again."""
        kept = self._idle.get(origin)
        oldest = asyncio.get_running_loop().time() - IDLE_S_MAX
        while kept:
            connection = kept.pop()
            if connection.is_silent and connection.idle_since >= oldest:
                return connection
            connection.abort()
        return None

    def _keep(self, origin: Origin, connection: Connection) -> None:
        if not connection.usable:
            connection.abort()
            return
        kept = self._idle.setdefault(origin, deque())
        now = connection.idle_since = asyncio.get_running_loop().time()
        kept.append(connection)
        while kept[0].idle_since < now - IDLE_S_MAX:
            kept.popleft().abort()

    async def _opened(self, exchange: "_Exchange", origin: Origin) -> Connection:
        async with asyncio.timeout(self._connect_s) as deadline:
            connection = await self._open(origin)
        exchange.too_late = deadline.expired()
        return connection

    async def _open(self, origin: Origin) -> Connection:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        trust = await asyncio.to_thread(_trust) if scheme == "https" else None
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=SECOND_ADDRESS_S, socket_factory=self._socket
        )
        _, connection = await loop.create_connection(
            Connection, sock=sock, ssl=trust, server_hostname=host if trust else None
        )
        return connection

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        sock = socket.socket(*address[:3])
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._user_timeout_ms)
        return sock


class _Exchange:
    """What became of one request; `written` from the instant that a byte can have left."""

    def __init__(self, permit: Permit, answer_timeout_ms: int) -> None:
        self._permit = permit
        self._answer_timeout_ms = answer_timeout_ms
        self.too_late = False
        self.written = False
        self.withheld = ""

    def may_write(self, *, usable: bool) -> bool:
        """Decide on the write; the last look at the clock."""
        if self.too_late:
            self.withheld = "too late to send"
        elif not usable:
            self.withheld = "the connection was lost before the request"
        elif not self._permit.may_send():
            self.withheld = "too much of the lease had gone"
        else:
            self.written = True
        return self.written

    async def write(self, connection: Connection, request: bytes) -> Reply:
        """Write it, and wait as long as an answer may take.

        That it was sent is said a turn of the loop later: what was not written at once is by then.
        """
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._answer_timeout_ms / 1_000, connection.give_up)
        try:
            answer = connection.write(request)
            loop.call_soon(self._permit.was_sent)
            return await answer
        finally:
            timer.cancel()

    def verdict(self, problem: BaseException) -> NotSent | Unknown:
        """Classify what ended the exchange early."""
        name = type(problem).__name__
        if self.written:
            return Unknown(f"no whole answer: {name}")
        return NotSent(self.withheld or f"no connection: {name}")


def _written(method: str, url: URL, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the request as it goes out; a body's length is always said.

    Raises:
        ValueError: a header would be more than one line.
    """
    head = _head(method, url, tuple(headers.items()))
    return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)


@lru_cache(maxsize=HEADS_MAX)
def _head(method: str, url: URL, headers: tuple[tuple[str, str], ...]) -> bytes:
    said = _SAID | dict(headers)
    lines = [f"{method} {url.raw_path_qs} HTTP/1.1", f"host: {url.host_port_subcomponent}"]
    lines += [f"{name}: {value}" for name, value in said.items()]
    head = "\r\n".join([*lines, ""])
    if not head.count("\r") == head.count("\n") == len(lines):
        raise ValueError("a header has a line break in it")
    return head.encode("latin-1")


@cache
def _trust() -> ssl.SSLContext:
    """Return whom to believe in TLS; it reads files."""
    return ssl.create_default_context()
