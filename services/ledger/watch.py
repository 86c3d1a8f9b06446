"""Vouches for streams that have all that is in the books; stops what runs on those that do not."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final

import psycopg
import structlog
from redis.exceptions import RedisError

from services.ledger import metrics
from services.ledger.database import Database, said
from services.ledger.queries import queries
from shared.bus.records import LaneState
from shared.bus.topups import Topups
from shared.bus.trust import Loss, Trust
from shared.contracts.acts import act_by
from shared.contracts.errors import TopupError
from shared.contracts.states import Reason

log = structlog.get_logger()

LOOK_S: Final = 0.25
LOOK_S_MAX: Final = 15.0
LOOKS_PER_COMPARISON: Final = 20
"""A server that nobody restarted is compared too, every 5 s: somebody may have restored a copy."""
PASSING: Final = (psycopg.Error, RedisError, OSError, TopupError)
BY: Final = "ledger"


class Standing(StrEnum):
    """What is known of one partition."""

    UNKNOWN = "unknown"
    VERIFIED = "verified"
    LOST = "lost"


class Watch:
    """Looks at every partition, all the time; any number of ledgers may do so at once."""

    def __init__(
        self, topups: Topups, trust: Trust, database: Database, *, providers: Sequence[str]
    ) -> None:
        self._topups = topups
        self._trust = trust
        self._database = database
        self._providers = providers
        self.standings = [Standing.UNKNOWN for _ in topups.keys]

    async def run(self, draining: asyncio.Event) -> None:
        """Look until draining; a look that fails is followed by another one."""
        looks = 0
        while not draining.is_set():
            looks += 1
            try:
                async with asyncio.timeout(LOOK_S_MAX):  # a server may be deaf
                    await self.look(compare=looks % LOOKS_PER_COMPARISON == 0)
            except PASSING as problem:
                log.warning("streams_not_compared", problem=said(problem))
            try:
                await asyncio.wait_for(draining.wait(), LOOK_S)
            except TimeoutError:
                continue

    async def look(self, *, compare: bool = False) -> list[Standing]:
        """Compare what nobody vouches for, or all, with the books; hold the lanes of what lost.

        Raises:
            psycopg.Error, RedisError, OSError, TopupError: one of the servers did not answer.
        """
        await self._everywhere(lambda partition: self._look_at(partition, compare=compare))
        if Standing.LOST in self.standings:
            await self._everywhere(self._hold)
        return self.standings

    async def release(self) -> None:
        """Open the lanes that were held because of a loss, and no other."""
        await self._everywhere(self._release)

    async def _everywhere(self, act: Callable[[int], Awaitable[None]]) -> None:
        """Do it in every partition: a server that is away must not keep the others waiting."""
        partitions = range(len(self.standings))
        outcomes = await asyncio.gather(*map(act, partitions), return_exceptions=True)
        for problem in outcomes:
            if problem is not None:
                raise problem

    async def _look_at(self, partition: int, *, compare: bool) -> None:
        if compare or not await self._topups.verified(partition):
            self._tell(partition, await self._compare(partition))
        else:
            self._tell(partition, None)

    async def _compare(self, partition: int) -> Loss | None:
        known = await self.generations() or await self._take_as_they_are()
        generation = known.get(partition)
        if generation is None:  # the customers that it has were elsewhere, with their keys
            return Loss(
                self._topups.keys[partition].meta, "what the books know in other partitions"
            )
        return await self._trust.vouch(partition, generation, await self.reached(partition))

    async def _take_as_they_are(self) -> dict[int, str]:
        """Let all partitions begin with what they have: these books have never seen any."""
        found = [await self._trust.found(partition) for partition in range(len(self.standings))]
        async with self._database.connection() as connection, connection.transaction():
            for partition, generation in enumerate(found):
                given = {"partition": partition, "generation": generation}
                await connection.execute(queries()["note_generation"], given)
        return await self.generations()

    async def generations(self) -> dict[int, str]:
        """Return the generation of each partition, as the books have it."""
        async with self._database.connection() as connection:
            return dict(await (await connection.execute(queries()["generations"])).fetchall())

    async def reached(self, partition: int) -> dict[str, str]:
        """Return the last entry id that is booked, of each of the partition's streams."""
        prefix = self._topups.keys[partition].prefix
        async with self._database.connection() as connection:
            rows = await (await connection.execute(queries()["positions"])).fetchall()
        return {stream: entry for stream, entry in rows if stream.startswith(prefix)}

    def _tell(self, partition: int, loss: Loss | None) -> None:
        standing = Standing.LOST if loss else Standing.VERIFIED
        if standing is not self.standings[partition]:
            if loss:
                log.error("streams_lost", partition=partition, key=loss.key, has=loss.has)
            else:
                log.info("streams_verified", partition=partition)
        self.standings[partition] = standing
        metrics.VERIFIED.labels(partition).set(loss is None)

    async def _hold(self, partition: int) -> None:
        """Let nothing start there; a lane that people hold for good is left as they have it."""
        for provider, lane in await self._lanes(partition):
            if lane.state != "held" or lane.until is not None:
                log.error("lane_held", partition=partition, provider=provider)
                act = act_by(BY, why=Reason.STREAMS_LOST)
                await self._trust.hold(partition, provider, act=act)

    async def _release(self, partition: int) -> None:
        for provider, lane in await self._lanes(partition):
            if lane.reason == Reason.STREAMS_LOST:
                act = act_by(BY, why="the streams are what the books know")
                await self._trust.release(partition, provider, act=act)

    async def _lanes(self, partition: int) -> list[tuple[str, LaneState]]:
        found = await self._topups.lanes(partition)
        return [(provider, found.get(provider, LaneState())) for provider in self._providers]
