"""One connection of a client: writes a request, and reads the one bounded answer to it.

Parsing is httptools', the rest is here because of what it must never do: send again, follow, wait
without end, or take for an answer what lay there before the request went out.
"""

import asyncio
import select
from typing import Final, cast

import httptools
import msgspec

ANSWER_BYTES_MAX: Final = 64 * 1024
WIRE_BYTES_MAX: Final = 2 * ANSWER_BYTES_MAX
"""Heads, interim answers and chunk marks together with the body: a peer that never comes to an end
must not keep the loop busy until the deadline."""
_FINAL: Final = 200
_LENGTHS: Final = (b"content-length", b"transfer-encoding")


class Reply(msgspec.Struct, frozen=True):
    """A whole answer; its status alone says nothing about money."""

    status: int
    body: bytes


class BrokenAnswer(Exception):
    """What came is not one whole answer, or longer than an honest one."""


class Connection(asyncio.Protocol):
    """Carries one request at a time; `usable` until anything unforeseen has happened."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.usable = True
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._body = bytearray()
        self._arrived = 0
        self._head_whole = False
        self._has_length = False

    # -- the caller's side -------------------------------------------------------------------

    @property
    def is_silent(self) -> bool:
        """Whether it is open, and nothing has come: the kernel may know what the loop does not."""
        if not self.usable or self._transport is None:
            return False
        arrivals = select.poll()
        arrivals.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not arrivals.poll(0)

    def write(self, request: bytes) -> asyncio.Future[Reply]:
        """Hand the request over; the answer, or what broke it, comes by the future."""
        assert self._transport is not None
        self._arrived = 0
        self._reset()
        self._parser = httptools.HttpResponseParser(self)
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._reply

    def give_up(self) -> None:
        """Break an answer that has not come in time; a timer of the caller's."""
        self._break(TimeoutError())

    def abort(self) -> None:
        """Close it at once: whatever is still coming belongs to nobody."""
        self.usable = False
        self._reply = None
        if self._transport is not None:
            self._transport.abort()

    # -- the transport's side ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what comes, up to the bound; what nobody asked for ends the connection."""
        self._arrived += len(data)
        if self._reply is None:
            self.abort()
        elif self._arrived > WIRE_BYTES_MAX:
            self._break(BrokenAnswer("longer than any answer"))
        else:
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
                self._break(BrokenAnswer(type(problem).__name__))

    def connection_lost(self, problem: Exception | None) -> None:
        """End an answer that says no length where it ends; any other is not whole."""
        self.usable = False
        if self._reply is None:
            return
        if problem is None and self._head_whole and not self._has_length:
            self._end()
        else:
            self._break(problem or ConnectionResetError("closed before the answer"))

    # -- the parser's side -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """See a second message: no answer to anything."""
        if self._reply is None:
            self.usable = False

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Note whether the answer says where it ends."""
        self._has_length |= name.lower() in _LENGTHS

    def on_headers_complete(self) -> None:
        """Know that a body that lasts until the end of the connection may begin."""
        self._head_whole = self._parser.get_status_code() >= _FINAL

    def on_body(self, data: bytes) -> None:
        """Gather it, up to the bound."""
        if self._reply is None:
            return
        self._body += data
        if len(self._body) > ANSWER_BYTES_MAX:
            self._break(BrokenAnswer("longer than any answer"))

    def on_message_complete(self) -> None:
        """Answer the caller; an interim answer is none."""
        if self._head_whole:
            self.usable &= self._parser.should_keep_alive()
            self._end()
        else:
            self._reset()

    # -- ends --------------------------------------------------------------------------------

    def _end(self) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(Reply(self._parser.get_status_code(), bytes(self._body)))
        self._reply = None

    def _break(self, problem: Exception) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(problem)
        self.abort()

    def _reset(self) -> None:
        self._body.clear()
        self._head_whole = self._has_length = False
