"""Loopback ports, each kept for this process from the moment that it is drawn."""

import random
import socket
from typing import Final

# Outgoing connections get 32768 and up; a server that restarts must not lose its port to one.
_LOWEST: Final = 20_000
_HIGHEST: Final = 32_000
_DRAWS_MAX: Final = 200


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody uses, and that no other process draws while this one lives.

    A server that reuses addresses, as all of ours do, can listen there.
    """
    for _ in range(_DRAWS_MAX):
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - a draw, not a secret
        if _keep(host, port):
            return port
    raise OSError(f"no free port between {_LOWEST} and {_HIGHEST}")


def _keep(host: str, port: int) -> bool:
    """Bind it without listening: alone first, then open to those who reuse addresses."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kept = socket.socket(family, socket.SOCK_STREAM)
    try:
        kept.bind((host, port))
    except OSError:
        kept.close()
        return False
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.detach()  # stays bound as long as this process lives
    return True
