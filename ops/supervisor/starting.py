"""The start-up steps of one run: the servers, the tasks and the services of the plan."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from ops.servers.server import Server
from ops.supervisor.backing import Backing
from ops.supervisor.fleet import Fleet
from ops.supervisor.plan import Plan, Service, Task
from ops.supervisor.screen import Screen
from ops.supervisor.steps import Step
from ops.supervisor.wiring import Wiring


def start_steps(
    plan: Plan, wiring: Wiring, backing: Backing, fleet: Fleet, screen: Screen, *, seed: bytes
) -> dict[str, Step]:
    """Return every step by its name."""

    async def start_server(server: Server) -> None:
        job = await asyncio.to_thread(backing.server_job, server)
        await fleet.add(job).until_ready()

    async def start_service(service: Service) -> None:
        replicas = fleet.grow(service.name, service.count)
        await asyncio.gather(*(replica.until_ready() for replica in replicas))

    async def run_task(task: Task) -> None:
        await backing.run_task(task, seed=seed)

    def shown(name: str, act: Callable[[], Awaitable[None]], count: int = 1) -> Step:
        async def show() -> None:
            screen.begins(name)
            await act()
            screen.done(name, count)

        return Step(after=_after(name, plan), act=show)

    servers = {n: shown(n, partial(start_server, s)) for n, s in wiring.servers.items()}
    tasks = {t.name: shown(t.name, partial(run_task, t)) for t in plan.tasks}
    services = {s.name: shown(s.name, partial(start_service, s), s.count) for s in plan.services}
    return servers | tasks | services


def _after(name: str, plan: Plan) -> tuple[str, ...]:
    after = {service.name: service.after for service in plan.services}
    after |= {task.name: task.after for task in plan.tasks}
    return after.get(name, ())
