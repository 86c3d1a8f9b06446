"""One supervisor a folder; the next one waits for what a killed one left behind."""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ops.errors import CommandFailed
from ops.supervisor.folder import Folder, write_private
from ops.supervisor.process import start_time

_KEEPER_S: Final = 5.0
"""How long the keeper is trusted to stop the servers, once nothing else is left."""


class Started(msgspec.Struct, frozen=True):
    """A process that some supervisor started: its id and start time name it for ever."""

    pid: int
    started: int
    is_server: bool

    def lives(self) -> bool:
        """Whether exactly this process still runs."""
        return start_time(self.pid) == self.started


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a run writes down for the commands, and for the run after it."""

    supervisor: int
    environment: dict[str, str]
    processes: list[Started]


def write_state(folder: Folder, state: State) -> None:
    """Write it down in one step, readable by us alone."""
    write_private(folder.state, msgspec.json.encode(state).decode())


def read_state(folder: Folder) -> State | None:
    """Return what the last run wrote down, if it can be read."""
    try:
        return msgspec.json.decode(folder.state.read_bytes(), type=State)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def lock(folder: Folder) -> int:
    """Return the descriptor that keeps any other supervisor out as long as it is open."""
    descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        state = read_state(folder)
        who = f" (process {state.supervisor})" if state else ""
        raise CommandFailed(
            f"it already runs{who}: see it with `topup ps`, or start another beside it with "
            "TOPUP_DATA_DIR=.topup-2 PORT=8081 make run"
        ) from None
    return descriptor


def is_held(folder: Folder) -> bool:
    """Whether a supervisor runs there."""
    try:
        with folder.lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def wait_for_leftovers(folder: Folder, *, patience_s: float, say: Callable[[str], None]) -> None:
    """Return when nothing of an earlier run lives: it drains by itself; past the bound, kill it."""
    state = read_state(folder)
    left = _alive(state.processes) if state else []
    if not left:
        return
    say(f"an earlier run was killed: waiting for {len(left)} of its processes to finish their work")
    deadline = time.monotonic() + patience_s
    servers_alone_since: float | None = None
    told = False
    while left := _alive(left):
        now = time.monotonic()
        if all(process.is_server for process in left):
            servers_alone_since = servers_alone_since or now
            if not told and now > servers_alone_since + _KEEPER_S:  # the keeper was killed too
                told = _send(left, signal.SIGINT)
        if now > deadline:
            say(f"{len(left)} of them did not finish within {patience_s:.0f} s: ending them")
            _send(left, signal.SIGKILL)
            deadline = now + patience_s
        time.sleep(0.05)


def _alive(processes: Sequence[Started]) -> list[Started]:
    return [process for process in processes if process.lives()]


def _send(processes: Sequence[Started], number: signal.Signals) -> bool:
    for process in processes:
        if process.lives():
            os.kill(process.pid, number)
    return True
