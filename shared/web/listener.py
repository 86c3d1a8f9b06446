"""One listening socket of a replica: uvicorn on a port, and a drain that loses nothing."""

import asyncio
import socket
from functools import partial
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from shared.runtime.descriptors import room_for
from shared.web.connection import GuardedProtocol

IDLE_S: Final = 75
SETTLE_S: Final = 0.25
LINGER_LOOK_S: Final = 0.05
BACKLOG: Final = 4_096
CONNECTIONS_MAX: Final = 4_096
"""Of who is one of us: 64 gateways keep at most 32 connections each to a peer."""


class Listener:
    """Serves one ASGI app on one port from `open` to `close`.

    `linger_s`: for so long at most a kept connection that says nothing is still heard when it
    closes. Its client may be about to ask, and cannot tell a close from a request that was lost.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        drain_s: float,
        linger_s: float = 0.0,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self._host, self._port = host, port
        self._linger_s = min(linger_s, drain_s)
        self._guarded = partial(GuardedProtocol, connections_max=room_for(connections_max))
        self._config = config = uvicorn.Config(
            app,
            http=self._guarded,  # type: ignore[arg-type] # it is only ever called
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=IDLE_S,
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
        arrived = self._accept_all(self._socket)
        for server in self._server.servers:
            server.close()
        self._socket.close()
        self._server.server_state.default_headers = [(b"connection", b"close")]
        loop = asyncio.get_running_loop()
        for connection in arrived:
            await loop.connect_accepted_socket(self._protocol, connection)
        await asyncio.sleep(SETTLE_S)  # bytes that the kernel already has are read and answered
        lingers_until = loop.time() + self._linger_s
        while self._server.server_state.connections and loop.time() < lingers_until:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(LINGER_LOOK_S)  # each that asks is answered and closed
        await self._server.shutdown(sockets=[])

    def _accept_all(self, listening: socket.socket) -> list[socket.socket]:
        """Take the connections that the kernel has made already: a close would reset them."""
        arrived: list[socket.socket] = []
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return arrived
            arrived.append(connection)

    def _protocol(self) -> GuardedProtocol:
        state = self._server.server_state
        return self._guarded(self._config, server_state=state, app_state={})
