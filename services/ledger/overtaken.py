"""Closes proposals whose topup has ended otherwise: nobody is to confirm what is over."""

from collections.abc import Sequence

from psycopg.rows import dict_row

from services.ledger.chain import append
from services.ledger.database import Database
from services.ledger.entries import Outcome
from services.ledger.queries import queries
from shared.contracts.acts import act_done
from shared.contracts.states import FINAL


class Overtaken:
    """The open proposals in one database.

    What people settled names their proposal as its evidence: that one ends as confirmed, when the
    ledger reads their act.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def close(self, outcomes: Sequence[Outcome]) -> int:
        """Close those that these outcomes have overtaken; return how many. They are booked.

        Raises:
            psycopg.Error: none is closed; a repeat closes what is still open.
        """
        ended = [one.request.topup_id for one in outcomes if one.seq > 1 and one.state in FINAL]
        return await self._close(ended) if ended else 0

    async def sweep(self) -> None:
        """Close all that are overtaken, whoever has booked that; raises as `close`."""
        await self._close(None)

    async def _close(self, topup_ids: Sequence[str] | None) -> int:
        async with self._database.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(queries()["overtake"], {"topup_id": topup_ids}, prepare=False)
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
