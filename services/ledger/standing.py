"""Tells the streams which topups people say were paid, so that no machine's no settles those."""

from typing import Final

from services.ledger.database import Database
from services.ledger.queries import queries
from shared.bus.limbo import Standing
from shared.bus.topups import Topups
from shared.contracts.limits import BATCH_MAX
from shared.contracts.streams import partition_of
from shared.runtime.redis import Client

TOLD_MAX: Final = 10_000
"""The newest so many are told each time; it takes two people to settle one."""


class Proposed:
    """The proposals in one database, of topups that are in limbo.

    A gateway tells of each as it comes and goes. This is for those of which it could not: it is
    gone, or older than this; and for records that have been restored since.
    """

    def __init__(self, client: Client, topups: Topups, database: Database) -> None:
        self._topups = topups
        self._database = database
        self._standing = Standing(client, topups)

    async def tell(self) -> None:
        """Let those that are open stand and the others fall; several ledgers may do it at once.

        Raises:
            psycopg.Error, NotAccepted, NotKnown: some may not be told; a repeat tells them.
        """
        async with self._database.connection() as connection:
            given = {"limit": TOLD_MAX}
            rows = await (await connection.execute(queries()["said_paid"], given)).fetchall()
        places: dict[tuple[int, bool], list[tuple[str, str]]] = {}
        for topup_id, customer_id, proposal, stands in rows:
            partition = partition_of(customer_id, len(self._topups.keys))
            places.setdefault((partition, stands), []).append((topup_id, proposal))
        for (partition, stands), said in places.items():
            tell = self._standing.stand if stands else self._standing.fall
            for start in range(0, len(said), BATCH_MAX):
                await tell(partition, said[start : start + BATCH_MAX])
