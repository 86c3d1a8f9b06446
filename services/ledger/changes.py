"""One change to one customer or its keys: alone, committed, and only then told to all gateways.

Telling takes the customer's lock again and reads anew: whatever the order in which two operators'
announcements go out, the last one says how things are.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import psycopg
from psycopg.rows import DictRow, dict_row
from redis.exceptions import RedisError

from services.ledger.chain import append
from services.ledger.database import Database, said
from services.ledger.names import check_customer_id
from services.ledger.queries import queries
from shared.contracts.acts import act_done
from shared.contracts.errors import InvalidRequest, TopupError
from shared.contracts.limits import KEYS_ANNOUNCED_MAX, KEYS_RENEW_S
from shared.contracts.peers import ApiKey, OperatorKey
from shared.contracts.streams import KEYS_STREAM
from shared.runtime.redis import Client

Cursor = psycopg.AsyncCursor[DictRow]


class NotAnnounced(TopupError):
    """The change is committed; gateways learn of it when they ask the ledger next."""

    code = "not_announced"


class Changes:
    """Where customers and keys are kept, and where their changes are told."""

    def __init__(self, database: Database, client: Client, *, by: str = "ledger") -> None:
        self._database = database
        self._client = client
        self.by = by  # who: it stands in the audit

    async def read(self, query: str, **arguments: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - one an argument of the statement
        """Return the rows of a query."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(queries()[query], arguments)
            return await cursor.fetchall()

    @asynccontextmanager
    async def to(self, customer_id: str, *, ended: Sequence[str] = ()) -> AsyncIterator[Cursor]:
        """Lend a cursor to make a change with; commit, then tell the gateways.

        Raises:
            InvalidRequest: there is no such customer.
            NotAnnounced: committed, but not told.
        """
        async with self._alone(customer_id) as cursor:
            yield cursor
        try:
            await self._tell(customer_id, ended)
        except (RedisError, psycopg.Error, OSError) as problem:
            raise _not_announced(problem) from problem

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Cursor]:
        """Lend a cursor in a transaction that commits when the block ends."""
        async with self._database.connection() as connection, connection.transaction():
            yield connection.cursor(row_factory=dict_row)

    async def note(
        self,
        cursor: Cursor,
        act: str,
        target: str,
        *,
        before: object = None,
        after: object = None,
    ) -> None:
        """Append an act to the audit in the cursor's transaction, as the last thing there."""
        await cursor.execute(queries()["now_ms"])
        now = await cursor.fetchone()
        assert now is not None, "it has one row"
        done = act_done(self.by, act, target, at_ms=now["now_ms"], before=before, after=after)
        await append(cursor.connection, [done])

    @asynccontextmanager
    async def _alone(self, customer_id: str) -> AsyncIterator[Cursor]:
        check_customer_id(customer_id)
        async with self.transaction() as cursor:
            await cursor.execute(queries()["lock_customer"], {"customer_id": customer_id})
            if await cursor.fetchone() is None:
                raise unknown_customer(customer_id)
            yield cursor

    async def _tell(self, customer_id: str, ended: Sequence[str]) -> None:
        """Announce the keys that work, and the named ones that do not any more."""
        async with self._alone(customer_id) as cursor:
            await cursor.execute(
                queries()["keys_to_tell"], {"customer_id": customer_id, "ended": list(ended)}
            )
            keys = msgspec.convert(await cursor.fetchall(), list[ApiKey])
            await self._announce("key", keys)

    async def tell_operators(self, keys: Sequence[OperatorKey]) -> None:
        """Announce keys of operators as they are from now on.

        Raises:
            NotAnnounced: they were not told.
        """
        try:
            await self._announce("operator", keys)
        except (RedisError, OSError) as problem:
            raise _not_announced(problem) from problem

    async def _announce(self, field: str, keys: Sequence[ApiKey | OperatorKey]) -> None:
        server = await self._client.at(KEYS_STREAM)
        async with server.pipeline(transaction=True) as pipe:
            for key in keys:
                entry = {field: msgspec.json.encode(key)}
                pipe.xadd(KEYS_STREAM, entry, maxlen=KEYS_ANNOUNCED_MAX, approximate=True)
            if keys:
                await pipe.execute()

    async def told_up_to(self) -> str:
        """Return the place of the last announcement; raises RedisError."""
        told = await self._client.xrevrange(KEYS_STREAM, count=1)
        return told[0][0].decode() if told else "0-0"


def _not_announced(problem: Exception) -> NotAnnounced:
    return NotAnnounced(
        f"it is done, but could not be announced ({said(problem)}): gateways learn of it "
        f"within {KEYS_RENEW_S} s, or as soon as the ledger answers them again"
    )


def unknown_customer(customer_id: str) -> InvalidRequest:
    """Return what to raise where there is no such customer."""
    return InvalidRequest(f"there is no customer {customer_id!r}; see: topup customers list")
