"""The one way out to a provider: one request on the wire for each call, and a bounded answer.

What the HTTP client does by itself to be helpful (send again, follow a redirect, unpack, read to
the end) can pay twice or never end; it is all off here. Whether a byte can have left is not
guessed from the kind of error: the permit is asked, and the fact noted, in the step that writes.
"""

import asyncio
import socket
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Protocol

import aiohttp
import msgspec
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_middlewares import ClientHandlerType
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from services.dispatcher.providers.adapter import NotSent, Unknown

ANSWER_BYTES_MAX: Final = 64 * 1024
WIRE_BYTES_MAX: Final = 2 * ANSWER_BYTES_MAX
"""Heads, interim answers and chunk marks together with the body: a peer that never comes to an end
must not keep the loop busy until the deadline."""
IDLE_S_MAX: Final = 4.0
"""Shorter than servers wait (5 s at the shortest): they must not be the ones to close."""


class Reply(msgspec.Struct, frozen=True):
    """A whole answer; its status alone says nothing about money."""

    status: int
    body: bytes


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


class Wire:
    """Connections to one provider, kept between calls; opens nothing before the first one.

    No limit of its own: as many calls at once as the dispatcher has slots. `answer_timeout_ms` is
    also how long the kernel goes on trying to deliver what was written.
    """

    def __init__(self, *, connect_timeout_ms: int, answer_timeout_ms: int) -> None:
        self._connect_s = connect_timeout_ms / 1_000
        self._user_timeout_ms = answer_timeout_ms
        self._session: aiohttp.ClientSession | None = None

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
            async with asyncio.timeout(self._connect_s) as exchange.deadline:
                reply = await self._exchange(exchange, method, url, headers, body)
        except (aiohttp.ClientError, OSError, ValueError, _TooLong) as problem:
            return exchange.verdict(problem)
        finally:
            exchange.sealed = True
        return reply if exchange.written else NotSent(exchange.withheld)

    async def close(self) -> None:
        """Let go of all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(
        self, exchange: "_Exchange", method: str, url: URL, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        async def enter(request: aiohttp.ClientRequest, go: ClientHandlerType) -> Any:  # noqa: ANN401 - as it came
            assert isinstance(request, _Request)
            request.exchange = exchange
            return await go(request)

        if self._session is None:
            self._session = self._open()
        async with self._session.request(
            method,
            url,
            data=body,
            headers=headers,
            allow_redirects=False,  # a followed 307 pays again
            middlewares=(enter,),
        ) as response:
            try:
                return Reply(response.status, await _read(response))
            except BaseException:
                response.close()  # whatever is still coming belongs to nobody
                raise

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0, keepalive_timeout=IDLE_S_MAX, socket_factory=self._socket
        )
        loop = asyncio.get_running_loop()
        factory = partial(_Listening, loop=loop)
        connector._factory = factory  # type: ignore[assignment]  # noqa: SLF001 - no public way in
        session = aiohttp.ClientSession(
            connector=connector,
            request_class=_Request,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a small answer must not unfold into a big one
            timeout=aiohttp.ClientTimeout(total=None),  # the exchange has its own deadlines
            headers={"accept": "application/json", "accept-encoding": "identity"},
        )
        session._retry_connection = False  # noqa: SLF001 - no public switch; a resent request pays twice
        return session

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        sock = socket.socket(*address[:3])
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._user_timeout_ms)
        return sock


class _Exchange:
    """What became of one request; `written` from the instant that a byte can have left."""

    deadline: asyncio.Timeout

    def __init__(self, permit: Permit, answer_timeout_ms: int) -> None:
        self._permit = permit
        self._answer_timeout_ms = answer_timeout_ms
        self.written = False
        self.sealed = False
        self.withheld = ""

    def may_write(self, *, usable: bool) -> bool:
        """Decide on the write, and start the answer's time; the last look at the clock."""
        if self.sealed or self.deadline.expired():
            self.withheld = "too late to send"
        elif not usable:
            self.withheld = "the connection was lost before the request"
        elif not self._permit.may_send():
            self.withheld = "too much of the lease had gone"
        else:
            now = asyncio.get_running_loop().time()
            self.deadline.reschedule(now + self._answer_timeout_ms / 1_000)
            self.written = True
        return self.written

    async def hand_over(self) -> None:
        """Say that it was sent; a turn of the loop later, for the loop writes at a turn's end."""
        await asyncio.sleep(0)
        self._permit.was_sent()

    def verdict(self, problem: BaseException) -> NotSent | Unknown:
        """Classify what ended the exchange early."""
        name = type(problem).__name__
        if self.written:
            return Unknown(f"no whole answer: {name}")
        return NotSent(self.withheld or f"no connection: {name}")


class _Withheld(aiohttp.ClientError):
    """The request was ready, and was not written."""


class _TooLong(Exception):
    """The answer is longer than an honest one."""


class _Listening(ResponseHandler):
    """Cuts off a peer that has written more than any answer takes, before it is read."""

    arrived = 0

    def data_received(self, data: bytes) -> None:
        """Take what comes, up to the bound."""
        self.arrived += len(data)
        if self.arrived <= WIRE_BYTES_MAX:
            super().data_received(data)
        elif self.transport is not None:
            self.transport.abort()


class _Request(aiohttp.ClientRequest):
    """Asks for its permit as the last thing before its bytes go to the transport.

    Not in `send`: headers are only laid aside there, and the write is a step of its own, later. A
    body, empty or not, makes sure that the step is always this one.
    """

    exchange: _Exchange

    async def write_bytes(
        self,
        writer: AbstractStreamWriter,
        conn: "aiohttp.connector.Connection",
        content_length: int | None = None,
    ) -> None:
        """Write headers and body, or nothing."""
        protocol = conn.protocol
        assert isinstance(protocol, _Listening)
        protocol.arrived = 0
        # What lies in a reused connection before the request went out is no answer to it.
        usable = protocol.is_connected() and not protocol.should_close
        if not self.exchange.may_write(usable=usable):
            protocol.set_exception(_Withheld(self.exchange.withheld))
            return
        await super().write_bytes(writer, conn, content_length)
        await self.exchange.hand_over()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise _TooLong
    return bytes(body)
