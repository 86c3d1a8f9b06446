"""Finds topups of any customer, and tells all that the books hold of one."""

import asyncio
from typing import Any

import msgspec
from psycopg.rows import dict_row

from services.ledger.database import Connection, Database
from services.ledger.evidence import Signer
from services.ledger.excerpt import read_excerpt
from services.ledger.queries import queries
from services.ledger.store import PAGE_S_MAX
from shared.contracts.peers import AuditRow, TopupRow
from shared.contracts.stories import (
    ACTS_MAX,
    FOUND_MAX,
    BookedOutcome,
    BookedPosting,
    Dossier,
    Found,
    Packed,
    Sought,
)
from shared.contracts.tries import decode_tries
from shared.runtime.clock import Clock


class Dossiers:
    """What is asked about single topups; `packed` needs a signer."""

    def __init__(self, database: Database, signer: Signer | None, clock: Clock) -> None:
        self._database = database
        self._signer = signer
        self._clock = clock

    async def find(self, sought: Sought) -> Found:
        """Return the newest topups that fit.

        Raises:
            psycopg.Error, TimeoutError: the books cannot be read, or not in time.
        """
        arguments = {**msgspec.structs.asdict(sought), "limit": FOUND_MAX + 1}
        async with asyncio.timeout(PAGE_S_MAX), self._database.connection() as connection:
            rows = msgspec.convert(await _ask(connection, "find", arguments), list[TopupRow])
        return Found(rows[:FOUND_MAX], len(rows) > FOUND_MAX)

    async def dossier(self, topup_id: str) -> Dossier | None:
        """Return what is booked, as it is at one moment; `topup_id` must be a UUID.

        Raises:
            psycopg.Error: the books cannot be read.
        """
        async with self._database.connection() as connection, connection.transaction():
            await _see_one_moment(connection)
            return await _dossier(connection, topup_id)

    async def packed(self, topup_id: str) -> Packed | None:
        """Return the same as a signed file; raises as `dossier`."""
        if self._signer is None:
            return Packed(None)
        async with self._database.connection() as connection, connection.transaction():
            await _see_one_moment(connection)
            told = await _dossier(connection, topup_id)
            if told is None:
                return None
            acts = await read_excerpt(connection, topup_id)
        return Packed(self._signer.pack(told, acts, made_at_ms=self._clock.now_ms()))


async def _see_one_moment(connection: Connection) -> None:
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


async def _dossier(connection: Connection, topup_id: str) -> Dossier | None:
    asked: dict[str, Any] = {"topup_id": topup_id}
    rows = await _ask(connection, "whole_topup", asked)
    if not rows:
        return None
    acts = await _ask(connection, "acts_of", asked | {"limit": ACTS_MAX})
    return Dossier(
        topup=msgspec.convert(rows[0], TopupRow),
        outcomes=[_outcome(row) for row in await _ask(connection, "outcomes_of", asked)],
        postings=msgspec.convert(await _ask(connection, "postings_of", asked), list[BookedPosting]),
        set_aside=(await _ask(connection, "set_aside_of", asked))[0]["entries"],
        acts=msgspec.convert(acts, list[AuditRow]),
    )


def _outcome(row: dict[str, Any]) -> BookedOutcome:
    tried = decode_tries((row["tried"] or "").encode())
    return msgspec.convert(row | {"tried": msgspec.to_builtins(tried)}, BookedOutcome)


async def _ask(
    connection: Connection, query: str, arguments: dict[str, Any]
) -> list[dict[str, Any]]:
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(queries()[query], arguments, prepare=False)
    return await cursor.fetchall()
