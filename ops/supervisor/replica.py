"""One replica: started, watched until ready, started again when it dies, drained when asked."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from ops.children import Launch
from ops.errors import CommandFailed
from ops.supervisor.outlet import Outlet
from ops.supervisor.process import Process
from ops.supervisor.tails import problem_in, telling

_WRONG_SETTINGS: Final = 2
_PAUSE_S_FIRST: Final = 0.25
_PAUSE_S_MAX: Final = 5.0
_LOOK_S: Final = 0.05
_LINES_SHOWN: Final = 5
_LIVES_MAX: Final = 3
_PATIENT_S: Final = 3.0
"""A replica that is not ready by then tells what it waits for."""


class Status(StrEnum):
    """Where a replica is in its life."""

    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing_off"
    DRAINING = "draining"
    STOPPED = "stopped"


class Row(Struct, frozen=True, kw_only=True):
    """What `topup ps` shows of one replica."""

    service: str
    id: str
    pid: int | None
    port: int | None
    instance_port: int | None
    state: Status
    restarts: int
    last_lines: list[str] = []


class Job(Struct, frozen=True, kw_only=True):
    """How one replica is started, found ready and stopped."""

    service: str
    id: str
    outlet: Outlet
    launch: Callable[[], Launch]
    """Asked anew at each start."""
    ready: Callable[[int], Awaitable[bool]]
    stop: signal.Signals
    patience_s: float
    port: int | None = None
    instance_port: int | None = None
    remedy: str | None = None
    """What helps where it cannot become ready at all; None tries again for ever."""


class Replica:
    """Runs one job until it is drained; tells `changed` of every step."""

    def __init__(self, job: Job, changed: Callable[["Replica"], None]) -> None:
        self.job = job
        self.status = Status.STARTING
        self.restarts = 0
        self.process: Process | None = None
        self.settled = asyncio.Event()
        self.refusal: CommandFailed | None = None
        self.complaint: list[str] = []
        self.waits_for: str | None = None
        self._changed = changed
        self._leaving = asyncio.Event()
        self._was_ready = False

    def row(self) -> Row:
        """Describe it as it is now."""
        running = self.process is not None and self.process.status is None
        return Row(
            service=self.job.service,
            id=self.job.id,
            pid=self.process.pid if running and self.process else None,
            port=self.job.port,
            instance_port=self.job.instance_port,
            state=self.status,
            restarts=self.restarts,
            last_lines=self.complaint,
        )

    async def run(self) -> None:
        """Keep it up: at once after a life that was ready, after a growing pause otherwise."""
        pause_s = 0.0
        while not self._leaving.is_set():
            ready = await self._live()
            if self._leaving.is_set():
                break
            self.restarts += 1
            pause_s = 0.0 if ready else min(_PAUSE_S_MAX, max(_PAUSE_S_FIRST, pause_s * 2))
            if not ready:
                self._complain()
                await self._pause(None if self.refusal else pause_s)
        self._move(Status.STOPPED)
        self.settled.set()

    async def until_ready(self) -> None:
        """Return when it was ready once; raises CommandFailed when it never will be."""
        await self.settled.wait()
        if self.refusal is not None:
            raise self.refusal

    async def drain(self) -> bool:
        """Ask it to end and wait; False when it had to be killed."""
        self._leaving.set()
        if self.process is None or self.process.status is not None:
            return True
        self._move(Status.DRAINING)
        self.process.send(self.job.stop)
        try:
            async with asyncio.timeout(self.job.patience_s):
                await self.process.ended.wait()
        except TimeoutError:
            self.kill()
            await self.process.ended.wait()
            return False
        return True

    def kill(self) -> None:
        """End it at once."""
        self._leaving.set()
        if self.process is not None:
            self.process.kill()

    async def _live(self) -> bool:
        """One life from start to death; tells whether it was ever ready."""
        self._move(Status.STARTING)
        try:
            since = self.job.outlet.begin()
            process = Process.start(self.job.launch())
        except OSError as error:
            self.complaint = [f"cannot be started: {error}"]
            return False
        self.process = process
        self._changed(self)
        ready = await self._becomes_ready(process, since)
        self.waits_for = None
        if ready and not self._leaving.is_set():
            self.complaint = []
            self._was_ready = True
            self._move(Status.READY)
            self.settled.set()
        await process.ended.wait()
        if not ready:
            self.complaint = self.job.outlet.last_lines(_LINES_SHOWN, since=since)
        return ready

    async def _becomes_ready(self, process: Process, since: int) -> bool:
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + _PATIENT_S
        while not process.ended.is_set():
            if await self.job.ready(process.pid):
                return True
            if loop.time() > patient_until and self.waits_for is None:
                self.waits_for = problem_in(self.job.outlet.last_lines(1, since=since))
                self._changed(self)
            await asyncio.sleep(_LOOK_S)
        return False

    def _complain(self) -> None:
        """Where no further try would do better, say so and let the start fail."""
        if not self._was_ready and self.refusal is None:
            self.refusal = self._final()
            if self.refusal is not None:
                self.settled.set()
        self._move(Status.BACKING_OFF)

    def _final(self) -> CommandFailed | None:
        if self.job.remedy is None:
            refused = self.process is not None and self.process.status == _WRONG_SETTINGS
            words = "\n".join(self.complaint) or f"{self.job.id} refuses its settings"
            return CommandFailed(words, status=_WRONG_SETTINGS) if refused else None
        if self.restarts < _LIVES_MAX:
            return None
        return CommandFailed(
            f"{self.job.id} does not start: {telling(self.complaint)}; {self.job.remedy}"
        )

    async def _pause(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._leaving.wait()
        except TimeoutError:
            return

    def _move(self, status: Status) -> None:
        if self._leaving.is_set() and status not in {Status.DRAINING, Status.STOPPED}:
            return
        self.status = status
        self._changed(self)
