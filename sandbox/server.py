"""The sandbox's socket: uvicorn with a way to cut a connection, quiet, and quick to stop."""

import asyncio
import logging
import socket
import time
from typing import Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.app import Sandbox
from sandbox.book import Book
from sandbox.exchange import TRANSPORT
from sandbox.identity import Identity
from sandbox.settings import Settings

BACKLOG: Final = 4_096
KEEP_ALIVE_S: Final = 5
DRAIN_S: Final = 2


class CuttableProtocol(HttpToolsProtocol):
    """Lays the connection into the scope, where the app can cut it."""

    def on_message_begin(self) -> None:
        """Start a request's scope."""
        super().on_message_begin()
        self.scope["state"][TRANSPORT] = self.transport


def listen(host: str, port: int) -> socket.socket:
    """Return the bound socket.

    Raises:
        OSError: the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


async def serve(settings: Settings, sock: socket.socket, book: Book) -> None:
    """Serve until a signal; then answer what is short, and cut what is late."""
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    app = Sandbox(
        settings,
        book,
        Identity(settings.instance_id, time.monotonic),
        now=asyncio.get_running_loop().time,
    )
    config = uvicorn.Config(
        app,
        http=CuttableProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        ssl_certfile=settings.tls_file,
    )
    await uvicorn.Server(config).serve(sockets=[sock])
