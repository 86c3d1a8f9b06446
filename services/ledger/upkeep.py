"""What a ledger does on timers, with or without traffic: take over, look for the lost, trim."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

from services.ledger import metrics
from services.ledger.database import Database
from services.ledger.proposals import Proposals
from services.ledger.worker import Bookkeeper
from shared.bus.topups import Topups
from shared.runtime.upkeep import keep_up


class Upkeep:
    """The timers of one ledger; `sweeps` are what it looks through in its own books."""

    def __init__(  # noqa: PLR0913 - a composition: each part has a name and a place
        self,
        topups: Topups,
        bookkeepers: Sequence[Bookkeeper],
        database: Database,
        proposals: Proposals,
        *,
        sweeps: Sequence[Callable[[], Awaitable[None]]],
        providers: Sequence[str],
        retention_ms: int,
    ) -> None:
        self._topups = topups
        self._bookkeepers = bookkeepers
        self._database = database
        self._proposals = proposals
        self._sweeps = sweeps
        self._providers = providers
        self._retention_ms = retention_ms

    async def run(self, draining: asyncio.Event) -> None:
        """Tick until draining; a batch that is in hand is booked to its end."""
        await keep_up(self.steps, until=draining)

    def steps(self, *, sweep: bool) -> Iterator[Awaitable[None]]:
        """Yield a tick's steps; only a sweep looks for what got lost in a living ledger, and trims.

        Each is made when its turn has come.
        """
        for bookkeeper in self._bookkeepers:
            if self._database.connected:  # else we would only take what we cannot book either
                yield bookkeeper.take_over()
                if sweep:
                    yield bookkeeper.take_lost()
        if sweep:
            yield self._trim()
            if self._database.connected:
                for look in self._sweeps:
                    yield look()
        yield self._count_limbo()

    async def _trim(self) -> None:
        """Drop what is old and booked; several ledgers may do it at once."""
        gone = await self._topups.trim(providers=self._providers, retention_ms=self._retention_ms)
        metrics.TRIMMED.inc(gone)

    async def _count_limbo(self) -> None:
        """Show how much money is in limbo, whether or not anybody asks."""
        if self._database.connected:
            await self._proposals.limbo()
