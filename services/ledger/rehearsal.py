"""Books into copies that only one session sees: says what would change, and changes nothing.

The session is read-only, so that the database itself refuses to touch the books: there, only
temporary tables can be written.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.ledger.books import Booked, Books
from services.ledger.database import Connection, Database
from services.ledger.entries import Outcome, Request
from services.ledger.queries import queries

_TABLES = ("topups", "outcomes", "postings", "set_aside", "totals")


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
            for table in _TABLES:
                await session.execute(
                    f"CREATE TEMPORARY TABLE {table} (LIKE public.{table} INCLUDING ALL)".encode()
                )
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
