"""What the services stand on here: servers that outlive the supervisor's death, and tasks."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM
from typing import Final

from msgspec.structs import replace

from ops.children import Launch
from ops.errors import CommandFailed
from ops.servers.server import Server, hold
from ops.supervisor.folder import Folder
from ops.supervisor.launcher import PROJECT
from ops.supervisor.outlet import LogFile
from ops.supervisor.plan import Task, environment
from ops.supervisor.process import Process
from ops.supervisor.replica import Job
from ops.supervisor.wiring import Wiring

_SERVER_STOP_S_MAX: Final = 60.0
_LINES_SHOWN: Final = 5


class Backing:
    """Makes the jobs of servers and runs tasks; `keeper` is the pipe that a keeper waits at."""

    def __init__(self, wiring: Wiring, folder: Folder, environ: Mapping[str, str]) -> None:
        self._wiring = wiring
        self._folder = folder
        self._environ = environ
        self._keeper_process, self.keeper = _start_keeper()
        self._kept: set[int] = set()

    def server_job(self, server: Server) -> Job:
        """Return the job of an embedded server; its data folder is locked from now on."""
        lock = hold(server.lock)
        log = self._folder.log(server.name)
        launch = replace(server.launch, log=log, pass_fds=[lock])

        async def ready(pid: int) -> bool:
            self._tell_keeper(pid, server)
            return await asyncio.to_thread(server.ready, pid)

        return Job(
            service=server.name,
            id=server.name,
            outlet=LogFile(log),
            launch=lambda: launch,
            ready=ready,
            stop=server.stop,
            patience_s=_SERVER_STOP_S_MAX,
            port=server.port,
            remedy=f"see {log}; bring its data back, or remove {self._folder.root} to start anew",
        )

    async def run_task(self, task: Task, *, seed: bytes) -> None:
        """Run it to its end; raises CommandFailed with its last words when it fails."""
        log = LogFile(self._folder.log(task.name))
        since = log.begin()
        process = Process.start(
            Launch(
                argv=[sys.executable, *task.arguments],
                cwd=PROJECT,
                log=log.target,
                env=environment(task.told, self._wiring.variables, self._environ),
                parent_gone=SIGTERM,
                reads=seed if task.reads_seed else b"",
            )
        )
        try:
            await process.ended.wait()
        finally:
            process.kill()
        if process.status != 0:
            words = "\n".join(log.last_lines(_LINES_SHOWN, since=since))
            raise CommandFailed(f"{task.name} failed: {words or 'it said nothing'}")

    def close(self) -> None:
        """Let the keeper go, now that nothing needs it."""
        os.close(self.keeper)
        self._keeper_process.wait()

    def _tell_keeper(self, pid: int, server: Server) -> None:
        if pid in self._kept:
            return
        self._kept.add(pid)
        try:
            os.write(self.keeper, f"{pid} {int(server.stop)}\n".encode())
        except BrokenPipeError:  # somebody killed it; the next run looks after what is left
            return


def _start_keeper() -> tuple[subprocess.Popen[bytes], int]:
    """Return it and the writing end of its input."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-ISS", str(Path(__file__).with_name("keeper.py"))],
        cwd="/",
        stdin=reading,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    os.close(reading)
    return process, writing
