"""Where a replica's words go, and what its last ones were: its own file, or one output of all."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from ops.supervisor.tails import last_lines

_READ_BYTES: Final = 65_536
_LINE_BYTES_MAX: Final = 1_000_000
_LINES_KEPT: Final = 8


class Outlet(Protocol):
    """What a job writes to."""

    @property
    def target(self) -> Path | int:
        """What `Launch.log` takes."""
        ...

    def begin(self) -> int:
        """Get ready for a new life; return the place where its words begin."""
        ...

    def last_lines(self, count: int, *, since: int) -> list[str]:
        """Return the last lines that were written after that place."""
        ...


class LogFile:
    """A file of its own, readable by us alone."""

    def __init__(self, path: Path) -> None:
        self.target = path

    def begin(self) -> int:
        """Return the file's size; it is made where it is not there."""
        self.target.touch(mode=0o600)
        return self.target.stat().st_size

    def last_lines(self, count: int, *, since: int) -> list[str]:
        """Return the last lines behind that offset."""
        return last_lines(self.target, count, since=since)


class Voice:
    """A pipe from which whole lines are passed on, so that those of several never mix.

    Must be made where the loop runs. Nothing is queued: while `say` waits, so does who speaks.
    """

    def __init__(self, say: Callable[[bytes], None]) -> None:
        self._say = say
        self._reading, self.target = os.pipe()
        os.set_blocking(self._reading, False)
        self._half = b""
        self._last: deque[bytes] = deque(maxlen=_LINES_KEPT)
        asyncio.get_running_loop().add_reader(self._reading, self._pass_on)

    def begin(self) -> int:
        """Forget what was said: each life is looked at by itself."""
        self._last.clear()
        return 0

    def last_lines(self, count: int, *, since: int) -> list[str]:
        """Return the last lines of this life; only a few are kept."""
        while self._pass_on():
            pass
        return [line.decode(errors="replace") for line in self._last][since:][-count:]

    def close(self) -> None:
        """Pass on the rest; nobody may speak any more."""
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self.target)
        while self._pass_on():
            pass
        os.close(self._reading)
        if self._half:
            self._say(self._half + b"\n")

    def _pass_on(self) -> bool:
        """Pass on what is there; tell whether there was anything."""
        try:
            read = os.read(self._reading, _READ_BYTES)
        except BlockingIOError:
            return False
        if not read:
            return False
        whole, end, half = (self._half + read).rpartition(b"\n")
        if len(half) > _LINE_BYTES_MAX:
            whole, end, half = whole + end + half, b"\n", b""
        self._half = half
        if end:
            self._last.extend(whole.splitlines()[-_LINES_KEPT:])
            self._say(whole + end)
        return True
