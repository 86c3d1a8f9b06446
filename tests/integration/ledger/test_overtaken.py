"""A proposal whose topup has ended otherwise is closed, whoever has booked that end."""

import pytest
from psycopg.rows import dict_row
from uuid_utils import uuid7

from services.ledger.books import Books
from services.ledger.database import Database
from services.ledger.entries import Outcome, read_outcome
from services.ledger.overtaken import Overtaken
from services.ledger.proposals import Proposals
from shared.contracts.events import Evidence, encode
from shared.contracts.proposals import Proposal, UnresolvedQuery
from shared.contracts.states import State
from tests.integration.ledger.entries import AT_MS, outcome, outcome_fields, request, topup_id

pytestmark = pytest.mark.integration


def failed_on(number: int, raw: object) -> Outcome:
    """Return its second outcome, with this as what it rests on."""
    evidence = {"evidence": encode(Evidence(raw=raw, by="somebody"))}
    return read_outcome(f"{AT_MS}-0", outcome_fields(number, State.FAILED, seq=2) | evidence)


async def test_a_sweep_closes_what_an_older_ledger_left_open(
    database: Database, books: Books
) -> None:
    """By the evidence: what people confirmed is theirs, and what is open stays; once."""
    raws: list[object] = [{"status": "Fail"}, ["Fail"], "Fail", None]
    numbers = range(len(raws) + 3)
    await books.book(
        [request(number) for number in numbers],
        [outcome(number, State.UNRESOLVED) for number in numbers],
    )
    proposals = [
        Proposal(id=str(uuid7()), topup_id=topup_id(number), settle_as="failed",
                 evidence="ticket 4711", asked_at_ms=1, maker="ana")
        for number in numbers
    ]  # fmt: skip
    for one in proposals:
        assert (await Proposals(database).propose(one)).done
    confirmed, other, unresolved = numbers[-3:]
    raws += [{"proposal": proposals[confirmed].id}, {"proposal": str(uuid7())}]
    await books.book([], [failed_on(number, raw) for number, raw in enumerate(raws)])

    async def found() -> list[dict[str, object]]:
        async with database.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute("SELECT state, ended_why AS why FROM proposals ORDER BY topup_id")
            return await cursor.fetchall()

    async def told() -> int:
        async with database.connection() as connection:
            acts = await connection.execute(
                "SELECT count(*) FROM audit WHERE act = 'topup.overtaken'"
            )
            row = await acts.fetchone()
        assert row is not None
        return int(row[0])

    for _ in range(2):
        await Overtaken(database).sweep()
        states = await found()
        assert [one["state"] for one in states] == ["overtaken"] * 4 + [
            "proposed", "overtaken", "proposed",
        ]  # fmt: skip
        assert states[0]["why"] == "it has failed by itself: a late answer of the provider"
        assert states[other]["why"] == "it has failed: it was settled on another proposal"
        assert await told() == len(raws) - 1
    query = UnresolvedQuery(topup_id=topup_id(confirmed))
    (row,) = (await Proposals(database).unresolved(query)).rows
    assert row.settled_on == proposals[confirmed].id
    assert (await found())[unresolved]["state"] == "proposed"
