"""All that the books hold of one topup, for people: its row, its outcomes, its postings."""

from typing import Any

import msgspec
from psycopg.rows import dict_row

from services.ledger.database import Connection, Database
from services.ledger.queries import queries
from shared.contracts.events import Evidence
from shared.contracts.peers import TopupRow


class OutcomeRow(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it, with what that rests on; times are milliseconds since the epoch."""

    seq: int
    state: str
    reason: str | None
    provider_reference: str | None
    evidence: Evidence | None
    entry: str
    settled_at_ms: int
    booked_at_ms: int


class PostingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line: the amount has moved between two accounts."""

    seq: int
    line: int
    debit: str
    credit: str
    currency: str
    amount_minor: int


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """One topup in the books."""

    topup: TopupRow
    outcomes: list[OutcomeRow]
    postings: list[PostingRow]
    set_aside: int  # entries that contradict these


async def dossier(database: Database, topup_id: str) -> Dossier | None:
    """Return what is booked, as it is at one moment; `topup_id` must be a UUID.

    Raises:
        psycopg.Error: the books cannot be read.
    """
    async with database.connection() as connection, connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        rows = await _ask(connection, "whole_topup", topup_id)
        if not rows:
            return None
        return Dossier(
            topup=msgspec.convert(rows[0], TopupRow),
            outcomes=msgspec.convert(
                await _ask(connection, "outcomes_of", topup_id), list[OutcomeRow]
            ),
            postings=msgspec.convert(
                await _ask(connection, "postings_of", topup_id), list[PostingRow]
            ),
            set_aside=(await _ask(connection, "set_aside_of", topup_id))[0]["entries"],
        )


async def _ask(connection: Connection, query: str, topup_id: str) -> list[dict[str, Any]]:
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(queries()[query], {"topup_id": topup_id})
    return await cursor.fetchall()
