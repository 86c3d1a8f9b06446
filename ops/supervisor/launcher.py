"""Turns a service of the plan into jobs: command line, environment, readiness, way to stop."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGTERM
from typing import Final

import ops
from ops.children import Launch
from ops.ports import free_port
from ops.supervisor.gate import Gate
from ops.supervisor.outlet import Outlet
from ops.supervisor.plan import Plan, Service, environment, host_of, patience_of, reachable
from ops.supervisor.probe import answers_ok
from ops.supervisor.replica import Job
from ops.supervisor.wiring import Wiring

PROJECT: Final = Path(ops.__file__).parent.parent


class Launcher:
    """Makes the jobs of replicas; each of them keeps the descriptors `held` open."""

    def __init__(
        self,
        plan: Plan,
        wiring: Wiring,
        environ: Mapping[str, str],
        *,
        gate: Gate,
        outlet: Callable[[str], Outlet],
        held: Sequence[int] = (),
    ) -> None:
        self._services = {service.name: service for service in plan.services}
        self._wiring = wiring
        self._environ = environ
        self._gate = gate
        self._outlet = outlet
        self._patience_s = patience_of(environ)
        self._held = held

    def job(self, name: str, number: int) -> Job:
        """Return the job of one replica of a service."""
        service = self._services[name]
        instance = f"{name}-{self._wiring.place or number}"
        port = self._wiring.ports.get(name)
        instance_port = self._instance_port(service)
        host = reachable(host_of(service, self._environ))
        asked = instance_port or port or 0
        outlet = self._outlet(instance)

        async def ready(_pid: int) -> bool:
            return await answers_ok(host, asked, service.ready_path)

        return Job(
            service=name,
            id=instance,
            outlet=outlet,
            launch=lambda: self._launch(service, instance, instance_port, outlet),
            ready=ready,
            stop=SIGTERM,
            patience_s=self._patience_s,
            port=port,
            instance_port=instance_port,
        )

    def _instance_port(self, service: Service) -> int | None:
        if not service.has_instance_port:
            return None
        return self._wiring.instance_ports.get(service.name) or free_port()

    def _launch(
        self, service: Service, instance: str, instance_port: int | None, outlet: Outlet
    ) -> Launch:
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
            log=outlet.target,
            env=env,
            parent_gone=SIGTERM,
            pass_fds=[*self._held, *([] if waits_at is None else [waits_at])],
        )
