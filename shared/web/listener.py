"""One listening socket of a replica: uvicorn, with deadlines and a drain that loses nothing.

uvicorn waits for ever for a client that sends nothing, half a header or half a body, or takes no
answer, and closes connections whose bytes it has not read yet when it stops; the two classes here
close those gaps.
"""

import asyncio
import socket
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SILENT_S: Final = 10.0
HEADER_S: Final = 10.0
BODY_S: Final = 20.0
TAKE_S: Final = 60.0
SETTLE_S: Final = 0.25
BACKLOG: Final = 4_096
_TIMED_OUT: Final = (
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: application/json\r\n"
    b'content-length: 53\r\n\r\n{"success":false,"error":"The request took too long"}'
)


class GuardedProtocol(HttpToolsProtocol):
    """Closes a connection that is slow to say what it wants, or to take its answer.

    One deadline at a time: for the first byte, then the header, then the body. Another one while
    more of the answer waits than the connection's buffer holds.
    """

    _deadline: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None
    _talking = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm(SILENT_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._taken()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._talking = True
        self._arm(HEADER_S)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._arm(BODY_S)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._talking = False
        self._disarm()
        super().on_message_complete()

    def pause_writing(self) -> None:
        self._taken()
        # abort: a close would wait for the client to take what is buffered
        self._taking = self.loop.call_later(TAKE_S, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._taken()
        super().resume_writing()

    def _taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._expire)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        answering = self.cycle is not None and self.cycle.response_started  # type: ignore[redundant-expr]
        if self._talking and not answering:
            self.transport.write(_TIMED_OUT)
        self.transport.close()


class Listener:
    """Serves one ASGI app on one port from `open` to `close`."""

    def __init__(self, app: ASGIApp, *, host: str, port: int, drain_s: float) -> None:
        self._host, self._port = host, port
        config = uvicorn.Config(
            app,
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(drain_s) or 1,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        """Bind and listen; other replicas on this machine may share the port (SO_REUSEPORT).

        Raises:
            OSError: the port cannot be had.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # the protocol by its number: for 0 asyncio leaves the delay of small writes on
        self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind((self._host, self._port))
        self._socket.settimeout(0)
        await self._server.startup(sockets=[self._socket])

    async def close(self) -> None:
        """Accept no more, answer what has arrived, then close what is idle."""
        if self._socket is None:
            return
        for server in self._server.servers:
            server.close()
        self._socket.close()
        await asyncio.sleep(SETTLE_S)  # bytes that the kernel already has are read and answered
        await self._server.shutdown(sockets=[])
