"""Checks the books against themselves, and sums them up in one digest."""

from hashlib import blake2b
from typing import Any, Final

import msgspec

from services.ledger.books import MOVES
from services.ledger.contents import altered
from services.ledger.database import Connection, Database
from services.ledger.queries import queries
from services.ledger.rules import HOLD

AUDIT_S_MAX: Final = 3_600


class Check(msgspec.Struct, frozen=True):
    """One promise of the books: how many rows break it, and one of them."""

    promise: str
    broken: int = 0
    example: str | None = None


PROMISES: Final = {
    "wrong_postings": "every request and outcome has its postings, in its currency, to the cent",
    "wrong_outcomes": "every outcome belongs to a topup, a second one only to an unresolved one",
    "wrong_topups": "every topup is what its last outcome says",
    "wrong_totals": "the totals are what the rows add up to",
    "wrong_balances": "what was charged, is owed and is in limbo is what the totals say",
}
AS_READ: Final = "every request and outcome is what was read from the streams"
_RULES: Final[dict[str, Any]] = MOVES | {
    "hold_line": list(range(1, len(HOLD) + 1)),
    "hold_debit": [posting.debit for posting in HOLD],
    "hold_credit": [posting.credit for posting in HOLD],
}


class Audit:
    """Reads the books as they are at one moment, while ledgers go on booking."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def verify(self) -> list[Check]:
        """Return each promise with what breaks it.

        Raises:
            psycopg.Error: the books cannot be read.
        """
        async with self._database.connection(within_s=None) as connection, connection.transaction():
            await see_one_moment(connection)
            checks = [
                Check(promise, *await _ask(connection, query, _RULES))
                for query, promise in PROMISES.items()
            ]
            return [*checks, Check(AS_READ, *await altered(connection))]

    async def digest(self) -> str:
        """Return a digest of what was booked from the streams; raises as `verify`.

        Equal books have equal digests, in whichever order and batches they were booked. It tells
        books apart, it does not prove that nobody forged them.
        """
        async with self._database.connection(within_s=None) as connection, connection.transaction():
            await see_one_moment(connection)
            return await digest_of(connection)


async def digest_of(connection: Connection) -> str:
    """Return the digest of the books as this transaction sees them; raises psycopg.Error."""
    found = await _ask(connection, "digest", {})
    return blake2b(repr(found).encode(), digest_size=16).hexdigest()


async def see_one_moment(connection: Connection) -> None:
    """Let the transaction that has just begun see the books as they are now, and only read."""
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await connection.execute(f"SET LOCAL statement_timeout = '{AUDIT_S_MAX}s'")


async def _ask(connection: Connection, query: str, arguments: dict[str, Any]) -> tuple[Any, ...]:
    row = await (await connection.execute(queries()[query], arguments)).fetchone()
    assert row is not None, "an aggregate has one row"
    return row
