"""One connection of a client: uvicorn's, with deadlines, bounds, and our form of refusal.

uvicorn waits for ever for a client that sends nothing, half a header or half a body, or takes no
answer; takes heads of any size, and trailers for headers; drops the body where an upgrade is
offered; and answers what it cannot read before, or in place of, what it still owes. Each override
closes one of these gaps.
"""

import asyncio
import fcntl
import re
import sys
import termios
from typing import Any, Final

import httptools
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from shared.web.answers import Answering
from shared.web.problems import render

SILENT_S: Final = 10.0
HEADER_S: Final = 10.0
BODY_S: Final = 20.0
TAKE_S: Final = 60.0
HEAD_BYTES_MAX: Final = 32 * 1024
MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""Far more than any app here reads of a body; what is beyond would be chunks or trailers only."""
_HOST: Final = re.compile(rb"[A-Za-z0-9!$%&'()*+,;=:\[\]._~-]*")


class _NotHttp(Exception):
    """The parser takes it, HTTP does not; the text is what the client is told."""


class GuardedProtocol(HttpToolsProtocol):
    """Closes a connection that is slow, too large or unreadable, once it has what it is owed.

    One deadline at a time: for the first byte, then the header, then the body. Another one while
    more of the answer waits than the connection's buffer holds.
    """

    _deadline: asyncio.TimerHandle | None = None
    _due_s = 0.0
    _taking: asyncio.TimerHandle | None = None
    _head_open = False
    _message_open = False
    _upgrading = False
    _deaf = False
    _leaving = False
    _message_bytes = 0
    _answering: RequestResponseCycle | None = None

    def __init__(self, *given: Any, connections_max: int, **named: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*given, **named)
        self._connections_max = connections_max

    # -- the connection ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._connections_max:
            self._refuse("unavailable", "Nothing was accepted: too many connections; come again")
        else:
            self._arm(SILENT_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        while data and not self._deaf:
            piece, data = data[:HEAD_BYTES_MAX], data[HEAD_BYTES_MAX:]
            self._message_bytes += len(piece)
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._head_without_upgrade() + piece[upgrade.args[0] :] + data
            except httptools.HttpParserError as problem:
                told = problem.__context__
                text = (
                    str(told) if isinstance(told, _NotHttp) else "These bytes are no HTTP request"
                )
                self._give_up("invalid_request", text)
            else:
                self._check_size()
        if self._due_s:  # most requests are whole by now, and need none
            self._arm(self._due_s)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Let a client that has sent all close its half, and still hear the answer."""
        return self._leave_out_what_arrives() and self._end_after_what_is_owed()

    def shutdown(self) -> None:
        """Close at once if nothing was asked; what the kernel has not handed over yet counts."""
        self._leaving = True
        if self.transport.is_closing():
            return
        if self._message_open or self._kernel_bytes(termios.FIONREAD):
            self._arm(BODY_S if self._message_open and not self._head_open else HEADER_S)
        else:
            super().shutdown()

    def _kernel_bytes(self, queue: int) -> int:
        """Return how many bytes the kernel holds that we have not read, or the client not taken."""
        count = bytearray(4)
        fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), queue, count)
        return int.from_bytes(count, sys.byteorder)

    # -- one message: what the parser says -----------------------------------------------------

    def on_message_begin(self) -> None:
        self._unset_keepalive_if_required()  # here: an empty line alone is not a request
        self._head_open = self._message_open = True
        self._message_bytes = 0
        self._due_s = HEADER_S
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_open:  # a trailer has no say in who asks for what
            super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            self._upgrading = True
            return
        self._check_host()
        self._unset_keepalive_if_required()
        self._head_open = False
        self._due_s = BODY_S
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._upgrading:
            return
        self._message_open = False
        self._disarm()
        super().on_message_complete()
        if self._leaving and self.cycle.response_complete:
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        async def answering(scope: Scope, receive: Receive, _send: Send) -> None:
            await app(scope, receive, Answering(cycle))

        self._answering = cycle
        super()._start_asgi_task(cycle, answering)  # type: ignore[arg-type]

    # -- what must end -------------------------------------------------------------------------

    def pause_writing(self) -> None:
        self._expect_taking()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._taken()
        super().resume_writing()

    def _expect_taking(self) -> None:
        self._taken()
        untaken = self._untaken_bytes()
        self._taking = self.loop.call_later(TAKE_S, self._check_taking, untaken)

    def _check_taking(self, untaken: int) -> None:
        """Cut off a client that has taken nothing; a slow one has, long before we may write on."""
        if self._untaken_bytes() < untaken:
            self._expect_taking()
        else:
            self.transport.abort()  # a close would wait for the client to take what is buffered

    def _untaken_bytes(self) -> int:
        return self._kernel_bytes(termios.TIOCOUTQ) + self.transport.get_write_buffer_size()

    def _taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._expire)

    def _disarm(self) -> None:
        self._due_s = 0.0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        if self._message_open:
            self._give_up("request_timeout", "The request took too long to arrive")
        else:
            self.transport.close()

    def _check_host(self) -> None:
        """Take one Host and no more (RFC 9112, 3.2): of two, a proxy may have read the other."""
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or not all(map(_HOST.fullmatch, hosts)):
            raise _NotHttp("The header Host must be given once, as a name or address")
        if not hosts and self.parser.get_http_version() == "1.1":
            raise _NotHttp("The header Host is missing")

    def _check_size(self) -> None:
        if self._head_open and self._message_bytes >= HEAD_BYTES_MAX:
            text = f"The head of the request is larger than {HEAD_BYTES_MAX} bytes"
            self._give_up("headers_too_large", text)
        elif self._message_open and self._message_bytes >= MESSAGE_BYTES_MAX:
            self._give_up("too_large", f"The request is larger than {MESSAGE_BYTES_MAX} bytes")

    def _head_without_upgrade(self) -> bytes:
        """Return the head to be read again, as if nothing but HTTP/1.1 had been offered."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._upgrading = False
        if method == b"CONNECT":
            self._give_up("invalid_request", "This is no proxy; CONNECT is not served")
            return b""
        kept = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version.encode(), b"".join(kept))

    def _give_up(self, code: str, text: str) -> None:
        """Refuse the message that is arriving; whoever asked before it gets an answer first."""
        if not self._leave_out_what_arrives():
            if self.cycle.response_started:
                self._deaf = True
                self.transport.close()
            else:
                self._refuse(code, text)
        elif not self._end_after_what_is_owed():
            self._refuse(code, text)

    def _leave_out_what_arrives(self) -> bool:
        """Forget the message whose end is missing; False: it is being answered already."""
        if self._message_open and not self._head_open:
            if self.cycle is self._answering:
                return False
            self.pipeline.popleft()  # the newest: it was still waiting for its turn
            self._message_open = False  # once: the client may still close its half
        return True

    def _end_after_what_is_owed(self) -> bool:
        """Hear no more, and close after the last answer that is owed; False: none is."""
        self._deaf = True
        self._disarm()
        last = self.pipeline[0][0] if self.pipeline else self._answering
        if last is None or last.response_complete:
            return False
        last.keep_alive = False
        return True

    def _refuse(self, code: str, text: str) -> None:
        self._deaf = True
        self._disarm()
        accept = dict(self.headers or ()).get(b"accept", b"").decode("latin-1")
        status, headers, body = render(code, text, accept=accept)
        headers += [(b"connection", b"close"), (b"content-length", b"%d" % len(body))]
        lines = [b"%b: %b\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        self.transport.close()
