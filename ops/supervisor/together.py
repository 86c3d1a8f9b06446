"""`topup serve all`: the four roles as one replica, for platforms that run one service."""

import asyncio
import sys
from collections.abc import Mapping
from functools import partial
from typing import Final

import structlog

from ops.checks.settings import refuse_wrong_replica
from ops.errors import CommandFailed
from ops.ports import free_port
from ops.supervisor.fleet import Fleet
from ops.supervisor.gate import Gate
from ops.supervisor.launcher import Launcher
from ops.supervisor.outlet import Outlet, Voice
from ops.supervisor.plan import HOST, PORT, SERVICES, Plan, given
from ops.supervisor.replica import Replica, Status
from ops.supervisor.steps import Step, run_steps
from ops.supervisor.stopping import Stopping, drain_in_order
from ops.supervisor.tails import telling
from ops.supervisor.wiring import ANSWERED, Wiring
from shared.contracts.access import set_up
from shared.runtime import logs
from shared.runtime.instance import place_of

ROLES: Final = tuple(service for service in SERVICES if service.name != "sandbox")

log = structlog.get_logger()


def serve_all(environ: Mapping[str, str], plan: Plan | None = None) -> None:
    """Run one of each role until told to stop; raises CommandFailed when it cannot start."""
    refuse_wrong_replica(environ)
    plan = plan or Plan(services=ROLES, tasks=())
    wiring = _wire(plan, environ)
    logs.configure(level=environ.get("LOG_LEVEL") or "INFO", instance_id=f"all-{wiring.place}")
    gate = Gate(environ.get("HOST") or HOST, wiring.ports["gateway"])
    try:
        asyncio.run(_Together(plan, wiring, gate, environ).run())
    finally:
        gate.release()


def _wire(plan: Plan, environ: Mapping[str, str]) -> Wiring:
    """Name the peers of this replica: each asks those beside it."""
    ports = {service.name: free_port() for service in plan.services if service.port == "shared"}
    ports["gateway"] = int(environ.get("PORT") or PORT)
    peers = {variable: f"http://{HOST}:{ports[name]}" for variable, name in ANSWERED.items()}
    offered = ",".join(set_up(partial(given, environ=environ)))
    told = environ.get("INSTANCE_PORT")
    return Wiring(
        servers={},
        ports=ports,
        variables={**peers, "PROVIDERS_OFFERED": offered},
        own={},
        instance_ports={"gateway": int(told)} if told else {},
        place=environ.get("INSTANCE_ID") or place_of(environ),
    )


class _Together:
    """Starts the roles in order, keeps them up, drains them in order; speaks with one voice."""

    def __init__(self, plan: Plan, wiring: Wiring, gate: Gate, environ: Mapping[str, str]) -> None:
        self._plan = plan
        self._gate = gate
        self._voices: list[Voice] = []
        self._launcher = Launcher(
            plan,
            wiring,
            environ,
            gate=gate,
            outlet=self._voice,
        )
        self._told: dict[str, tuple[Status, str | None]] = {}

    async def run(self) -> None:
        """Start, run until a signal, drain."""
        failure: CommandFailed | None = None
        async with asyncio.TaskGroup() as tasks:
            fleet = Fleet(tasks, self._launcher.job, self._tell)
            stopping = Stopping(lambda said: log.info("stopping", said=said.strip()), fleet.kill)
            try:
                if await stopping.unless_asked(run_steps(self._steps(fleet))):
                    self._gate.open()
                    await stopping.asked.wait()
            except CommandFailed as problem:
                failure = problem
            finally:
                self._gate.open()  # a gateway that waits there cannot drain
                groups = [(service.name,) for service in reversed(self._plan.services)]
                async for killed in drain_in_order(fleet, groups):
                    log.error("role_killed", role=killed, problem="it did not finish in time")
        for voice in self._voices:
            voice.close()
        if failure is not None:
            raise failure

    def _steps(self, fleet: Fleet) -> dict[str, Step]:
        def start(name: str) -> Step:
            async def act() -> None:
                for replica in fleet.grow(name, 1):
                    await replica.until_ready()

            return Step(after=after[name], act=act)

        after = {service.name: service.after for service in self._plan.services}
        return {name: start(name) for name in after}

    def _voice(self, _instance: str) -> Outlet:
        voice = Voice(_say)
        self._voices.append(voice)
        return voice

    def _tell(self, replica: Replica) -> None:
        """Say what has changed of a role, once."""
        row = replica.row()
        now = (row.state, replica.waits_for)
        if self._told.get(row.id) == now:
            return
        self._told[row.id] = now
        facts = {"role": row.id, "restarts": row.restarts}
        if row.state is Status.BACKING_OFF:
            log.warning("role_does_not_start", **facts, problem=telling(row.last_lines))
        elif replica.waits_for is not None:
            log.warning("role_waits", **facts, problem=replica.waits_for)
        else:
            log.info("role_moved", **facts, state=row.state)


def _say(lines: bytes) -> None:
    """Write all of it; a reader that has gone away stops nothing."""
    try:
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()
    except OSError:
        return
