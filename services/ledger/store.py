"""Answers questions about the past from the database."""

import asyncio
from typing import Any, Final

import msgspec
from psycopg.rows import dict_row

from services.ledger.database import Database
from services.ledger.queries import queries
from services.ledger.rules import midnight_ms
from shared.contracts.peers import TopupQuery, TopupRow, Totals
from shared.runtime.clock import Clock

PAGE_S_MAX: Final = 2.5
"""Less than gateways wait: what nobody waits for any more is not worked on."""


class Past:
    """What a gateway may ask."""

    def __init__(self, database: Database, clock: Clock, *, timezone: str) -> None:
        self._database = database
        self._clock = clock
        self._timezone = timezone

    async def topup(self, topup_id: str, *, customer_id: str) -> TopupRow | None:
        """Return one topup of this customer."""
        rows = await self._ask("topup", topup_id=topup_id, customer_id=customer_id)
        return msgspec.convert(rows[0], TopupRow) if rows else None

    async def topups(self, query: TopupQuery) -> list[TopupRow]:
        """Return a page of a customer's topups as they are booked, newest first.

        Raises:
            psycopg.Error: the books cannot be read.
            TimeoutError: not within `PAGE_S_MAX`; the database works on it no longer.
        """
        async with asyncio.timeout(PAGE_S_MAX), self._database.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row, binary=True)
            await cursor.execute(queries()["topups"], msgspec.structs.asdict(query), prepare=False)
            return msgspec.convert(await cursor.fetchall(), list[TopupRow])

    async def totals(self) -> Totals:
        """Return what succeeded, of all time and today, and what is in limbo now."""
        since_ms = midnight_ms(self._clock.now_ms(), self._timezone)
        rows = await self._ask("totals", since_ms=since_ms)
        kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in _KINDS}
        done = kinds["succeeded"]
        limbo = _volume(kinds["unresolved"])
        for currency, amount_minor in _volume(kinds["resolved"]).items():
            limbo[currency] = limbo.get(currency, 0) - amount_minor
        return Totals(
            total_transactions=_count(done),
            revenue=_volume(done),
            today_transactions=_count(done, "transactions_since"),
            today_volume=_volume(done, "amount_minor_since"),
            unresolved_transactions=_count(kinds["unresolved"]) - _count(kinds["resolved"]),
            unresolved_volume={name: minor for name, minor in limbo.items() if minor},
        )

    async def unresolved_since_ms(self) -> int | None:
        """Return when the topup that has been in limbo for longest came there."""
        rows = await self._ask("unresolved_since")
        found: int | None = rows[0]["since_ms"]
        return found

    async def _ask(self, query: str, **arguments: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - one an argument of the statement
        async with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(queries()[query], arguments)
            return await cursor.fetchall()


_KINDS: Final = ("succeeded", "unresolved", "resolved")


def _count(rows: list[dict[str, Any]], column: str = "transactions") -> int:
    return sum(row[column] or 0 for row in rows)


def _volume(rows: list[dict[str, Any]], column: str = "amount_minor") -> dict[str, int]:
    return {row["currency"]: row[column] for row in rows if row[column]}
