"""Keeps the public port ours from the first moment, and opens it for all gateways at once."""

import os
import socket

from ops.errors import CommandFailed


class Gate:
    """The gateways wait at the reading end of a pipe; `open` lets them all through."""

    def __init__(self, host: str, port: int) -> None:
        self._reserved = _reserve(host, port)
        self._reading, self._writing = os.pipe()
        self._closed = True

    def descriptor(self) -> int | None:
        """Return what a gateway that starts now waits at; None once the port is open."""
        return self._reading if self._closed else None

    def open(self) -> None:
        """Open the public port: every gateway that waits begins to listen."""
        if self._closed:
            self._closed = False
            os.close(self._writing)
            os.close(self._reading)

    def release(self) -> None:
        """Give the port back."""
        self.open()
        self._reserved.close()


def _reserve(host: str, port: int) -> socket.socket:
    """Return a socket that is bound but never listens: others are kept out, gateways are not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind((host, port))
        reserved = socket.socket(family, socket.SOCK_STREAM)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except OSError as error:
        problem = error.strerror.lower() if error.strerror else str(error)
        raise CommandFailed(
            f"port {port} on {host} cannot be had ({problem}): free it, or take another, "
            "for example PORT=8081"
        ) from None
    return reserved
