"""What a ledger does on timers, with or without traffic: take over, look for the lost, trim."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from typing import Final

import structlog

from services.ledger import metrics
from services.ledger.database import Database
from services.ledger.worker import Bookkeeper
from shared.bus.topups import Topups

log = structlog.get_logger()

TICK_S: Final = 1.0
TICKS_PER_SWEEP: Final = 60


class Upkeep:
    """The timers of one ledger; each step that fails is tried again at the next tick."""

    def __init__(
        self,
        topups: Topups,
        bookkeepers: Sequence[Bookkeeper],
        database: Database,
        *,
        providers: Sequence[str],
        retention_ms: int,
    ) -> None:
        self._topups = topups
        self._bookkeepers = bookkeepers
        self._database = database
        self._providers = providers
        self._retention_ms = retention_ms

    async def run(self, draining: asyncio.Event) -> None:
        """Tick until draining; a batch that is in hand is booked to its end."""
        tick = 0
        while not draining.is_set():
            tick += 1
            await self.tick(sweep=tick % TICKS_PER_SWEEP == 0)
            try:
                await asyncio.wait_for(draining.wait(), TICK_S)
            except TimeoutError:
                continue

    async def tick(self, *, sweep: bool) -> None:
        """Take each step once; a sweep is for what nothing but time brings to light."""
        for step in self._steps(sweep=sweep):
            try:
                await step
            except Exception as problem:  # noqa: BLE001 - the next tick tries again
                log.warning("upkeep_failed", problem=repr(problem))

    def _steps(self, *, sweep: bool) -> Iterator[Awaitable[None]]:
        """Return a tick's steps; one that fails keeps no other from its turn."""
        for bookkeeper in self._bookkeepers:
            if self._database.connected:  # else we would only take what we cannot book either
                yield bookkeeper.take_over()
                if sweep:
                    yield bookkeeper.take_lost()
        if sweep:
            yield self._trim()

    async def _trim(self) -> None:
        """Drop what is old and booked; several ledgers may do it at once."""
        gone = await self._topups.trim(providers=self._providers, retention_ms=self._retention_ms)
        metrics.TRIMMED.inc(gone)
