"""Turns the plan and the wiring into jobs: command line, environment, readiness, way to stop."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM
from typing import Final

from msgspec.structs import replace

import ops
from ops.children import Launch
from ops.errors import CommandFailed
from ops.ports import free_port
from ops.servers.server import Server, hold
from ops.supervisor.folder import Folder
from ops.supervisor.gate import Gate
from ops.supervisor.plan import Plan, Service, Task, environment, host_of, reachable
from ops.supervisor.probe import answers_ok
from ops.supervisor.process import Process
from ops.supervisor.replica import Job
from ops.supervisor.tails import last_lines
from ops.supervisor.wiring import Wiring

PROJECT: Final = Path(ops.__file__).parent.parent
_SERVER_STOP_S_MAX: Final = 60.0
_LINES_SHOWN: Final = 5


class Launcher:
    """Makes jobs; `keeper` is the pipe that says to the keeper that somebody is still there."""

    def __init__(
        self,
        plan: Plan,
        wiring: Wiring,
        folder: Folder,
        environ: Mapping[str, str],
        *,
        gate: Gate,
        patience_s: float,
    ) -> None:
        self._services = {service.name: service for service in plan.services}
        self._wiring = wiring
        self._folder = folder
        self._environ = {**environ, "TOPUP_DATA_DIR": str(folder.root)}
        self._gate = gate
        self._patience_s = patience_s
        self._keeper_process, self._keeper = _start_keeper()
        self._kept: set[int] = set()

    def service_job(self, name: str, number: int) -> Job:
        """Return the job of one replica of a service."""
        service = self._services[name]
        instance = f"{name}-{number}"
        port = self._wiring.ports.get(name)
        instance_port = free_port() if service.has_instance_port else None
        host = reachable(host_of(service, self._environ))
        asked = instance_port or port or 0

        async def ready(_pid: int) -> bool:
            return await answers_ok(host, asked, service.ready_path)

        return Job(
            service=name,
            id=instance,
            log=self._folder.log(instance),
            launch=lambda: self._launch(service, instance, instance_port),
            ready=ready,
            stop=SIGTERM,
            patience_s=self._patience_s,
            port=port,
            instance_port=instance_port,
        )

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
            log=log,
            launch=lambda: launch,
            ready=ready,
            stop=server.stop,
            patience_s=_SERVER_STOP_S_MAX,
            port=server.port,
            remedy=f"see {log}; bring its data back, or remove {self._folder.root} to start anew",
        )

    async def run_task(self, task: Task, *, seed: bytes) -> None:
        """Run it to its end; raises CommandFailed with its last words when it fails."""
        log = self._folder.log(task.name)
        process = Process.start(
            Launch(
                argv=[sys.executable, *task.arguments],
                cwd=PROJECT,
                log=log,
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
            words = "\n".join(last_lines(log, _LINES_SHOWN, since=process.log_from))
            raise CommandFailed(f"{task.name} failed: {words or 'it said nothing'}")

    def close(self) -> None:
        """Let the keeper go, now that nothing needs it."""
        os.close(self._keeper)
        self._keeper_process.wait()

    def _launch(self, service: Service, instance: str, instance_port: int | None) -> Launch:
        env = environment(service.told, self._wiring.variables, self._environ)
        env |= {"HOST": host_of(service, self._environ), "INSTANCE_ID": instance}
        env |= self._wiring.own.get(service.name, {})
        if service.name in self._wiring.ports:
            env["PORT"] = str(self._wiring.ports[service.name])
        if instance_port is not None:
            env["INSTANCE_PORT"] = str(instance_port)
        waits_at = self._gate.descriptor() if service.port == "public" else None
        if waits_at is not None:
            env["OPEN_ON_EOF_FD"] = str(waits_at)
        return Launch(
            argv=[sys.executable, "-m", service.module],
            cwd=PROJECT,
            log=self._folder.log(instance),
            env=env,
            parent_gone=SIGTERM,
            pass_fds=[self._keeper, *([] if waits_at is None else [waits_at])],
        )

    def _tell_keeper(self, pid: int, server: Server) -> None:
        if pid in self._kept:
            return
        self._kept.add(pid)
        try:
            os.write(self._keeper, f"{pid} {int(server.stop)}\n".encode())
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
