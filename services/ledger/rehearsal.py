"""Books into copies that only one session sees: says what would change, and changes nothing.

The session is read-only, so that the database itself refuses to touch the books: there, only
temporary tables can be written.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from services.ledger.books import Booked, Books
from services.ledger.chain import Chain
from services.ledger.database import Connection, Database
from services.ledger.entries import Outcome, Request
from services.ledger.queries import queries
from shared.contracts.acts import Act

_KEYS: Final = {
    "topups": "topup_id",
    "outcomes": "topup_id, seq",
    "postings": "topup_id, seq, line",
    "set_aside": "topup_id, seq, digest",
    "totals": "quarter, kind, currency",
    "positions": "stream",
}
"""Of each copy; the indexes for lists are left out."""


class RehearsedActs:
    """What the audit would do with acts; it is asked, and told nothing."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._appended: set[str] = set()

    async def lacking(self, acts: Sequence[Act]) -> list[Act]:
        """Return those that are not in it."""
        return [act for act in await self._chain.lacking(acts) if act.id not in self._appended]

    async def book(self, acts: Sequence[Act]) -> int:
        """Return how many would be appended."""
        before = len(self._appended)
        self._appended |= {act.id for act in acts}
        return len(self._appended) - before


class Rehearsal:
    """What the books would do; it sees each topup as the books have it, and then its own doing."""

    def __init__(self, database: Database, session: Connection) -> None:
        self._books = Books(database)
        self._session = session
        self._copies = Books(self)
        self._alone = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def on(cls, database: Database) -> AsyncIterator["Rehearsal"]:
        """Yield a rehearsal; its copies are gone afterwards.

        Raises:
            psycopg.Error: the session broke, and with it the copies: nothing can be said.
        """
        async with database.session() as session:
            await session.execute("SET temp_buffers = '64MB'")
            for table, key in _KEYS.items():
                copy = f"LIKE public.{table} INCLUDING ALL EXCLUDING INDEXES, PRIMARY KEY ({key})"
                await session.execute(f"CREATE TEMPORARY TABLE {table} ({copy})".encode())
            await session.execute("SET default_transaction_read_only = on")
            yield cls(database, session)

    async def unknown(
        self, requests: Sequence[Request], outcomes: Sequence[Outcome]
    ) -> tuple[list[Request], list[Outcome]]:
        """Return those that are not booked just as they are."""
        return await self._books.unknown(requests, outcomes)

    async def book(self, requests: Sequence[Request], outcomes: Sequence[Outcome]) -> Booked:
        """Return what the books would do with these."""
        every = [*requests, *(outcome.request for outcome in outcomes)]
        wanted = {"topup_id": [request.topup_id for request in every]}
        async with self._alone:
            for query in ("copy_topups", "copy_outcomes", "copy_set_aside"):
                await self._session.execute(queries()[query], wanted)
            return await self._copies.book(requests, outcomes)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend the one session that has the copies."""
        yield self._session
