"""Runs start-up steps side by side, each after those it needs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from ops.errors import CommandFailed


class Step(Struct, frozen=True):
    """Something to do once what it names is done; names of steps that do not exist are skipped."""

    after: tuple[str, ...]
    act: Callable[[], Awaitable[None]]


async def run_steps(steps: Mapping[str, Step]) -> None:
    """Return when all are done; the first that fails stops the others."""
    done = {name: asyncio.Event() for name in steps}

    async def take(name: str, step: Step) -> None:
        for needed in step.after:
            if needed in done:
                await done[needed].wait()
        await step.act()
        done[name].set()

    try:
        async with asyncio.TaskGroup() as tasks:
            for name, step in steps.items():
                tasks.create_task(take(name, step))
    except* CommandFailed as problems:
        first = problems.exceptions[0]
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        failure = first
    else:
        return
    raise failure
