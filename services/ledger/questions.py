"""Puts unresolved topups on the schedule by which dispatchers ask their providers again."""

from typing import Final

from services.ledger.database import Database
from services.ledger.queries import queries
from shared.bus.beats import instances
from shared.bus.limbo import Schedule
from shared.bus.topups import Topups
from shared.contracts.streams import partition_of
from shared.runtime.redis import Client

SCHEDULED_MAX: Final = 10_000
"""Of the newest in limbo so many are asked about: more would take a provider too long anyway."""


class Questions:
    """The books know what is in limbo, and living dispatchers say which providers they can ask."""

    def __init__(self, client: Client, topups: Topups, database: Database) -> None:
        self._client = client
        self._topups = topups
        self._database = database
        self._schedule = Schedule(client, topups)

    async def schedule(self) -> None:
        """Put what is not there yet on the schedule; several ledgers may do it at once.

        Raises:
            psycopg.Error, RedisError: some may not be there yet; a repeat puts them.
        """
        now_ms = await self._topups.now_ms()
        beats = await instances(self._client, now_ms=now_ms)
        askable = sorted({provider for beat in beats for provider in beat.asks})
        if not askable:
            return
        given = {"provider": askable, "limit": SCHEDULED_MAX}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(queries()["in_limbo"], given)).fetchall()
        places: dict[tuple[int, str], list[str]] = {}
        for topup_id, customer_id, provider in rows:
            partition = partition_of(customer_id, len(self._topups.keys))
            places.setdefault((partition, provider), []).append(topup_id)
        for (partition, provider), ids in places.items():
            await self._schedule.add(partition, provider, ids, now_ms=now_ms)
