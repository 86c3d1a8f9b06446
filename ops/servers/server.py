"""One embedded server: how it is launched, reached, found ready and stopped."""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from signal import Signals

from msgspec import Struct

from ops.children import Launch
from ops.errors import CommandFailed


class Server(Struct, frozen=True, kw_only=True):
    """Everything the supervisor and the tests need to know of one server."""

    name: str
    port: int
    url: str
    launch: Launch
    lock: Path
    stop: Signals
    ready: Callable[[int], bool]
    """Whether the process with this id answers; quick, never raises."""


def hold(lock: Path, *, patience_s: float = 10.0) -> int:
    """Return a locked descriptor for the server to inherit: two on one data folder would ruin it.

    It ends with the last process that has it: a server that outlived its supervisor still holds it.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise CommandFailed(
                    f"{lock.parent} is in use by another server: stop it, "
                    "or set another folder, for example TOPUP_DATA_DIR=.topup-2"
                ) from None
            time.sleep(0.05)
        else:
            return descriptor
