"""Free loopback ports, drawn from below the range that outgoing connections use."""

import random
import socket

# Outgoing connections get 32768 and up; a server that restarts must not lose its port to one.
_LOWEST, _HIGHEST = 20_000, 32_000
_DRAWS_MAX = 200


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port nobody listens on right now."""
    for _ in range(_DRAWS_MAX):
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - a draw, not a secret
        if is_free(host, port):
            return port
    raise OSError(f"no free port between {_LOWEST} and {_HIGHEST}")


def is_free(host: str, port: int) -> bool:
    """Whether a listener could be opened; a connection still closing does not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
