"""Closes proposals whose topup has ended by itself: nobody is to confirm what is over."""

from collections.abc import Sequence

from psycopg.rows import dict_row

from services.ledger.chain import append
from services.ledger.database import Database
from services.ledger.entries import Outcome
from services.ledger.queries import queries
from shared.contracts.acts import act_done
from shared.contracts.states import FINAL


class Overtaken:
    """The open proposals in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def close(self, outcomes: Sequence[Outcome]) -> int:
        """Close those that these outcomes have overtaken; return how many. They are booked.

        What people settled is not among them: that ends its proposal as confirmed.

        Raises:
            psycopg.Error: none is closed; a repeat closes what is still open.
        """
        ended = [
            one.request.topup_id
            for one in outcomes
            if one.seq > 1 and one.state in FINAL and not _is_confirmed(one)
        ]
        if not ended:
            return 0
        async with self._database.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(queries()["overtake"], {"topup_id": ended})
            closed = await cursor.fetchall()
            acts = [
                act_done(
                    "ledger",
                    "topup.overtaken",
                    row["topup_id"],
                    at_ms=row["at_ms"],
                    why=row["why"],
                    before={"proposal": row["id"], "state": "proposed"},
                    after={"proposal": row["id"], "state": "overtaken"},
                )
                for row in closed
            ]
            if acts:
                await append(connection, acts)
        return len(acts)


def _is_confirmed(outcome: Outcome) -> bool:
    """Tell whether people settled it: then its evidence names their proposal."""
    raw = outcome.evidence.raw if outcome.evidence else None
    return isinstance(raw, dict) and "proposal" in raw
