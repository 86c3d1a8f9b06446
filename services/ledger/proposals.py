"""Unresolved topups, what people propose of them, and how much money is in limbo.

A proposal is confirmed by the act that settles its topup: the ledger reads it like every other act,
and whoever looks at the proposal then sees who confirmed it, whatever became of that gateway.
"""

import asyncio
import time
from hashlib import sha256
from typing import Any, Final

import msgspec
from psycopg.rows import dict_row

from services.ledger import metrics
from services.ledger.chain import append
from services.ledger.database import Connection, Database
from services.ledger.queries import queries
from services.ledger.store import PAGE_S_MAX
from shared.contracts.acts import ActBy, act_by, act_done
from shared.contracts.errors import InvalidRequest
from shared.contracts.peers import AGES, Limbo
from shared.contracts.proposals import (
    FILE_BYTES_MAX,
    InLimbo,
    Outcome,
    Proposal,
    Unresolved,
    UnresolvedPage,
    UnresolvedQuery,
    Withdrawing,
)

LIMBO_S: Final = 5.0
"""For so long the same sums are told: however often they are asked for, the books are not."""


class Proposals:
    """What one database has; all raise psycopg.Error."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._limbo = InLimbo([])
        self._limbo_until = 0.0
        self._counting = asyncio.Lock()

    async def unresolved(self, query: UnresolvedQuery) -> UnresolvedPage:
        """Return a page of topups in limbo, each with all that was proposed of it."""
        given = msgspec.structs.asdict(query) | {
            "limit": query.limit + 1,
            "newest": query.order == "newest",
        }
        async with self._database.connection() as connection:
            rows = msgspec.convert(await _ask(connection, "unresolved", **given), list[Unresolved])
            page = rows[: query.limit]
            ids = [row.topup_id for row in page]
            proposals = await _proposals(connection, ids, with_files=query.topup_id is not None)
        for_each: dict[str, list[Proposal]] = {}
        for one in proposals:
            for_each.setdefault(one.topup_id, []).append(one)
        shown = [
            msgspec.structs.replace(row, proposals=for_each.get(row.topup_id, [])) for row in page
        ]
        return UnresolvedPage(shown, more=len(rows) > query.limit)

    async def limbo(self) -> InLimbo:
        """Return how much is in limbo, as it was at most `LIMBO_S` ago.

        Raises:
            psycopg.Error, TimeoutError: the books cannot be read, or not in time.
        """
        async with self._counting:
            if time.monotonic() >= self._limbo_until:
                async with asyncio.timeout(PAGE_S_MAX), self._database.connection() as connection:
                    rows = await _ask(connection, "limbo")
                self._limbo = InLimbo(msgspec.convert(rows, list[Limbo]))
                self._limbo_until = time.monotonic() + LIMBO_S
                _show(self._limbo)
        return self._limbo

    async def propose(self, proposal: Proposal) -> Outcome:
        """Keep a proposal of an unresolved topup, unless another one is open.

        Raises:
            InvalidRequest: the file is too large, or is not what its digest says.
        """
        _check_file(proposal)
        row = msgspec.structs.asdict(proposal)
        async with self._database.connection() as connection, connection.transaction():
            status = await _status(connection, proposal.topup_id)
            done = status == "unresolved" and bool(await _ask(connection, "propose", **row))
            outcome = await _outcome(connection, proposal.topup_id, status, done=done)
            if done:
                by = act_by(proposal.maker, why=proposal.evidence)
                after = {"proposal": proposal.id, "to": proposal.settle_as}
                after |= {"provider": proposal.provider} if proposal.provider else {}
                await _note(connection, by, "topup.propose", proposal.topup_id, after=after)
        return outcome

    async def withdraw(self, given: Withdrawing) -> Outcome:
        """End a proposal that is open."""
        async with self._database.connection() as connection, connection.transaction():
            status = await _status(connection, given.topup_id)
            ended = await _ask(connection, "withdraw", id=given.id, who=given.who, why=given.why)
            outcome = await _outcome(connection, given.topup_id, status, done=bool(ended))
            if ended:
                by = act_by(given.who, why=given.why)
                after = {"proposal": given.id}
                await _note(connection, by, "topup.withdraw", given.topup_id, after=after)
        return outcome


def _check_file(new: Proposal) -> None:
    if new.file is None:
        return
    if len(new.file) > FILE_BYTES_MAX:
        raise InvalidRequest(f"the file has {len(new.file)} bytes, over {FILE_BYTES_MAX}")
    if sha256(new.file).hexdigest() != new.file_sha256:
        raise InvalidRequest("the file is not what its digest says")


async def _status(connection: Connection, topup_id: str) -> str | None:
    rows = await _ask(connection, "lock_topup", topup_id=topup_id)
    return rows[0]["status"] if rows else None


async def _outcome(
    connection: Connection, topup_id: str, status: str | None, *, done: bool
) -> Outcome:
    found = await _proposals(connection, [topup_id])
    return Outcome(done=done, status=status, proposal=found[0] if found else None)


async def _proposals(
    connection: Connection, topup_ids: list[str], *, with_files: bool = False
) -> list[Proposal]:
    rows = await _ask(connection, "proposals_of", topup_id=topup_ids, with_files=with_files)
    return msgspec.convert(rows, list[Proposal])


async def _note(
    connection: Connection, by: ActBy, act: str, target: str, *, after: dict[str, str]
) -> None:
    """Append to the audit, as the last thing in the transaction."""
    (now,) = await _ask(connection, "now_ms")
    done = act_done(by.who, act, target, at_ms=now["now_ms"], why=by.why, after=after)
    await append(connection, [done])


def _show(limbo: InLimbo) -> None:
    amounts = {(one.currency, one.age): one.amount_minor for one in limbo.sums}
    metrics.LIMBO.clear()
    for currency in {one.currency for one in limbo.sums}:
        for age in AGES:
            metrics.LIMBO.labels(currency, age).set(amounts.get((currency, age), 0))


async def _ask(connection: Connection, query: str, **arguments: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - one an argument of the statement
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(queries()[query], arguments, prepare=False)
    return await cursor.fetchall() if cursor.description is not None else []
