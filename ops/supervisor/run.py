"""The supervisor itself: start in order, hand over to the replicas, drain in order."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from rich.console import Console

from ops.checks.settings import refuse_wrong_settings
from ops.errors import CommandFailed
from ops.supervisor import control, takeover
from ops.supervisor.backing import Backing
from ops.supervisor.demo import Demo, demo
from ops.supervisor.fleet import Fleet
from ops.supervisor.folder import Folder
from ops.supervisor.gate import Gate
from ops.supervisor.launcher import Launcher
from ops.supervisor.outlet import LogFile
from ops.supervisor.plan import (
    HOST,
    PORT,
    Plan,
    for_this_machine,
    host_of,
    in_url,
    patience_of,
    reachable,
    told_to_commands,
)
from ops.supervisor.probe import answers_ok
from ops.supervisor.process import start_time
from ops.supervisor.replica import Replica
from ops.supervisor.scaling import Scaling
from ops.supervisor.screen import Screen
from ops.supervisor.starting import start_steps
from ops.supervisor.steps import run_steps
from ops.supervisor.stopping import Stopping, drain_in_order
from ops.supervisor.tails import keep_bounded, rotate
from ops.supervisor.targets import Targets
from ops.supervisor.wiring import Wiring, wire

_LOGS_BOUNDED_S: Final = 10.0
_OPEN_S_MAX: Final = 10.0
_LOOK_S: Final = 0.02


def up(plan: Plan, folder: Folder, environ: Mapping[str, str]) -> None:
    """Run everything until told to stop; raises CommandFailed when it cannot start."""
    refuse_wrong_settings(environ)
    screen = Screen(Console())
    plan = for_this_machine(plan, environ)
    host, port = environ.get("HOST") or HOST, int(environ.get("PORT") or PORT)
    patience_s = patience_of(environ)
    folder.ready()
    lock = takeover.lock(folder)
    try:
        takeover.wait_for_leftovers(folder, patience_s=patience_s, say=screen.say)
        gate = Gate(host, port)
        try:
            rotate(folder.logs)
            keys = demo(folder, environ, url=f"http://{in_url(reachable(host))}:{port}")
            screen.say(f"starting in {folder.root}")
            wiring = wire(plan, folder, environ, demo=keys, public_port=port)
            told = told_to_commands(wiring.variables, environ)
            environ = {**environ, "TOPUP_DATA_DIR": str(folder.root)}
            backing = Backing(wiring, folder, environ)
            launcher = Launcher(
                plan, wiring, environ, gate=gate, held=[backing.keeper],
                outlet=lambda instance: LogFile(folder.log(instance)),
            )  # fmt: skip
            supervisor = Supervisor(
                plan, folder, wiring, backing, launcher, gate, screen, told,
                _targets(plan, folder, environ),
            )  # fmt: skip
            asyncio.run(supervisor.run(keys))
            backing.close()
        finally:
            gate.release()
    finally:
        screen.stop_waiting()
        os.close(lock)


def _targets(plan: Plan, folder: Folder, environ: Mapping[str, str]) -> Targets:
    hosts = {one.name: reachable(host_of(one, environ)) for one in plan.services}
    return Targets(folder, hosts)


class Supervisor:
    """Everything of one run."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that `up` joined
        self,
        plan: Plan,
        folder: Folder,
        wiring: Wiring,
        backing: Backing,
        launcher: Launcher,
        gate: Gate,
        screen: Screen,
        told: dict[str, str],
        targets: Targets,
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._wiring = wiring
        self._backing = backing
        self._launcher = launcher
        self._gate = gate
        self._screen = screen
        self._told = told
        self._targets = targets
        self._sandboxed = any(service.name == "sandbox" for service in plan.services)
        self._fleet: Fleet | None = None

    async def run(self, keys: Demo) -> None:
        """Start, run until a signal, drain."""
        failure: CommandFailed | None = None
        async with asyncio.TaskGroup() as tasks:
            fleet = self._fleet = Fleet(tasks, self._launcher.job, self._changed)
            stopping = Stopping(self._screen.say, fleet.kill)
            bounding = tasks.create_task(self._bound_logs())
            scaling = Scaling(self._plan, fleet)
            door = await control.serve(control.listen(self._folder.socket), scaling.handle)
            try:
                await self._live(keys, fleet, scaling, stopping)
            except CommandFailed as problem:
                failure = problem
            finally:
                door.close()
                self._folder.socket.unlink(missing_ok=True)
                bounding.cancel()
                self._screen.stop_waiting()
                await self._drain(fleet)
        if failure is not None:
            raise failure

    async def _live(self, keys: Demo, fleet: Fleet, scaling: Scaling, stopping: Stopping) -> None:
        steps = start_steps(
            self._plan, self._wiring, self._backing, fleet, self._screen, seed=keys.seed()
        )
        if not await stopping.unless_asked(run_steps(steps)):
            return
        scaling.open()
        self._gate.open()
        if await stopping.unless_asked(self._public_port_answers(keys)):
            self._screen.ready(keys, self._folder, sandboxed=self._sandboxed)
            await stopping.asked.wait()

    async def _public_port_answers(self, keys: Demo) -> None:
        """Wait for the gateways to pass the gate, so that what is printed works at once."""
        host, _, port = keys.url.removeprefix("http://").rpartition(":")
        try:
            async with asyncio.timeout(_OPEN_S_MAX):
                while not await answers_ok(host.strip("[]"), int(port), "/health"):  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            self._screen.say(f"  [yellow]![/] {keys.url}/health does not answer 200 yet")

    async def _drain(self, fleet: Fleet) -> None:
        self._gate.open()  # a gateway that waits there cannot drain
        services = [(service.name,) for service in reversed(self._plan.services)]
        async for killed in drain_in_order(fleet, [*services, self._wiring.servers]):
            self._screen.say(f"  [red]✗[/] {killed} did not finish in time and was ended")
        self._screen.say("stopped")

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOGS_BOUNDED_S)
            await asyncio.to_thread(keep_bounded, self._folder.logs)

    def _changed(self, replica: Replica) -> None:
        self._screen.changed(replica)
        if self._fleet is None:
            return
        rows = self._fleet.rows()
        started = [(row, start_time(row.pid)) for row in rows if row.pid is not None]
        state = takeover.State(
            supervisor=os.getpid(),
            environment=self._told,
            processes=[
                takeover.Started(row.pid, ticks, row.service in self._wiring.servers)
                for row, ticks in started
                if row.pid is not None and ticks is not None
            ],
        )
        with suppress(OSError):  # a full disk must not end what runs
            takeover.write_state(self._folder, state)
            self._targets.write(rows)
