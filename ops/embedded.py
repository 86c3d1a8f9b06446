"""Real servers for tests: each on a free port of its own, gone with the process that started it.

    with valkey_server(tmp_path / "valkey") as url:       # durable, as in production
    with valkey_server(tmp_path / "limits", volatile=True) as url:
    with postgres_server(tmp_path / "postgres") as url:

A second `with` on the same folder finds the data of the first. To kill and revive a server:

    running = Running.valkey(folder)
    running.kill(); running.revive()                      # same port, same data
    running.stop()

Start them from a thread that lives as long as they should: the kernel ends them with it.
"""

import atexit
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from ops.children import start
from ops.ports import free_port
from ops.servers import postgres, valkey
from ops.servers.server import Server, hold

_READY_S_MAX = 30.0
_STOP_S_MAX = 30.0
_PORTS_TRIED_MAX = 5


@contextmanager
def valkey_server(folder: Path, *, volatile: bool = False) -> Iterator[str]:
    """Yield the URL of a Valkey whose data is in the folder."""
    running = Running.valkey(folder, volatile=volatile)
    try:
        yield running.url
    finally:
        running.stop()


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """Yield the URL of a PostgreSQL whose data is in the folder."""
    running = Running.postgres(folder)
    try:
        yield running.url
    finally:
        running.stop()


class Running:
    """A server that is up; it may be killed and revived on the same port with the same data."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._process = _start_ready(server)

    @classmethod
    def valkey(cls, folder: Path, *, volatile: bool = False) -> Self:
        """Start a Valkey."""
        password = secrets.token_urlsafe(16)

        def prepare(port: int) -> Server:
            return valkey.prepare(
                folder,
                name="valkey",
                port=port,
                password=password,
                keeps=valkey.VOLATILE if volatile else valkey.DURABLE,
                parent_gone=signal.SIGKILL,
            )

        return cls._on_a_free_port(prepare)

    @classmethod
    def postgres(cls, folder: Path) -> Self:
        """Start a PostgreSQL."""
        password = folder.with_name(f"{folder.name}.password")
        running = cls._on_a_free_port(
            lambda port: postgres.prepare(
                folder, port=port, secrets=password, parent_gone=signal.SIGINT
            )
        )
        if folder.is_symlink():  # the data had to go outside; nobody will look for it there
            atexit.register(shutil.rmtree, folder.resolve().parent, ignore_errors=True)
        return running

    @classmethod
    def _on_a_free_port(cls, prepare: Callable[[int], Server]) -> Self:
        for left in reversed(range(_PORTS_TRIED_MAX)):
            try:
                return cls(prepare(free_port()))
            except ChildProcessError:  # somebody else took the port in between
                if not left:
                    raise
        raise AssertionError("unreachable")

    @property
    def url(self) -> str:
        """Where it is reached; holds the password."""
        return self._server.url

    @property
    def pid(self) -> int:
        """The process now running."""
        return self._process.pid

    def lives(self) -> bool:
        """Tell whether its process runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Stop it in its own polite way, and wait."""
        self._end(self._server.stop)

    def kill(self) -> None:
        """Kill it, as a crash would, and wait."""
        self._end(signal.SIGKILL)

    def revive(self) -> None:
        """Start it again on the same port and data."""
        self._process = _start_ready(self._server)

    def _end(self, how: signal.Signals) -> None:
        if self.lives():
            self._process.send_signal(how)
        self._process.wait(_STOP_S_MAX)


def _start_ready(server: Server) -> subprocess.Popen[bytes]:
    lock = hold(server.lock)
    try:
        process = start(replace(server.launch, pass_fds=[lock]))
    finally:
        os.close(lock)
    deadline = time.monotonic() + _READY_S_MAX
    while not server.ready(process.pid):
        if process.poll() is not None:
            raise ChildProcessError(
                f"{server.name} ended before it was ready: see {server.launch.log}"
            )
        if time.monotonic() > deadline:
            process.kill()
            raise TimeoutError(f"{server.name} is not ready after {_READY_S_MAX} s")
        time.sleep(0.01)
    return process
