"""Steps that are taken each second, with or without traffic; one that fails holds up no other."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Final, Protocol

import structlog

log = structlog.get_logger()

TICK_S: Final = 1.0
TICKS_PER_SWEEP: Final = 60


class Steps(Protocol):
    """The steps of one tick; a sweep has more, for what nothing but time brings to light."""

    def __call__(self, *, sweep: bool) -> Iterable[Awaitable[None]]: ...


async def keep_up(steps: Steps, *, until: asyncio.Event) -> None:
    """Tick until the event; a tick that has begun is carried to its end."""
    ticks = 0
    while not until.is_set():
        ticks += 1
        await take_each(steps(sweep=ticks % TICKS_PER_SWEEP == 0))
        try:
            await asyncio.wait_for(until.wait(), TICK_S)
        except TimeoutError:
            continue


async def take_each(steps: Iterable[Awaitable[None]]) -> None:
    """Take each step once; what fails is logged, and tried again at the next tick."""
    for step in steps:
        try:
            await step
        except Exception as problem:  # noqa: BLE001 - the next tick tries again
            log.warning("upkeep_failed", problem=repr(problem))
