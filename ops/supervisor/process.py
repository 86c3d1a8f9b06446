"""One started process as asyncio sees it: awaitable, signalled, never confused with another."""

import asyncio
import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Self

from ops.children import Launch, start


class Process:
    """A child of ours; `ended` is set when it is gone."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self.ended = asyncio.Event()
        self._watch = os.pidfd_open(child.pid)
        asyncio.get_running_loop().add_reader(self._watch, self._reap)

    @classmethod
    def start(cls, launch: Launch) -> Self:
        """Start it; raises OSError when it cannot be run."""
        return cls(start(launch))

    @property
    def pid(self) -> int:
        """Its id."""
        return self._child.pid

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._child.returncode

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it still runs."""
        if self._child.returncode is None:
            self._child.send_signal(number)

    def kill(self) -> None:
        """End it and whatever it started, at once."""
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)

    def _reap(self) -> None:
        self._child.wait()
        asyncio.get_running_loop().remove_reader(self._watch)
        os.close(self._watch)
        self.ended.set()


def start_time(pid: int) -> int | None:
    """When the process started, in ticks since boot: with its id, a name no other process has."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
