"""Brings streams that lost something to where the books are, so that nothing is paid again."""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Final

import msgspec
from psycopg.rows import class_row

from services.ledger.database import Connection, Database
from services.ledger.queries import queries
from shared.bus.messages import ItemFailed, Restoring
from shared.bus.topups import Topups
from shared.bus.trust import Trust, new_generation
from shared.contracts.catalogue import OFFERS
from shared.contracts.events import AUTO, Evidence, TopupRequested, encode
from shared.contracts.limits import BATCH_MAX
from shared.contracts.states import FINAL, Reason, State
from shared.contracts.streams import LEDGER_GROUP, partition_of
from shared.runtime.redis import Client

_PAGE_ROWS: Final = 2_000
_BY: Final = "topup reconcile"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One topup as the books have it; `metadata` and `route` are JSON."""

    topup_id: str
    customer_id: str
    phone: str
    country: str
    amount_minor: int
    currency: str
    provider: str
    product: str
    reference: str | None
    metadata: str | None
    route: str | None
    accepted_at_ms: int
    status: str
    reason: str
    its_reference: str
    settled_at_ms: int
    seq: int


class Reconciled(msgspec.Struct):
    """What was compared so far, and what came of it, by what it is called."""

    compared: int = 0
    found: dict[str, int] = {}

    def count(self, what: str) -> None:
        """Count one."""
        self.compared += 1
        self.found[what] = self.found.get(what, 0) + 1


class Reconciler:
    """Compares the books with the records of partitions that lost some; may be run again."""

    def __init__(
        self, client: Client, topups: Topups, database: Database, *, window_ms: int
    ) -> None:
        self._client = client
        self._topups = topups
        self._trust = Trust(client, topups)
        self._database = database
        self._window_ms = window_ms
        self.done = Reconciled()

    async def run(self, lost: Collection[int], *, now_ms: int, dry_run: bool) -> None:
        """Restore every record that lacks what the books know, or that may have been paid since.

        Raises:
            psycopg.Error, TopupError, RedisError: run it again, it goes on where it was.
        """
        batches: dict[tuple[int, str], list[Restoring]] = {}
        apply = self._rehearse if dry_run else self._restore
        async for row in self._rows(since_ms=now_ms - self._window_ms):
            partition = partition_of(row.customer_id, len(self._topups.keys))
            if partition not in lost:
                continue
            batch = batches.setdefault((partition, row.provider), [])
            batch.append(_restoring(row, now_ms=now_ms, window_ms=self._window_ms))
            if len(batch) >= BATCH_MAX:
                await apply(partition, row.provider, batch)
                batch.clear()
        for (partition, provider), batch in batches.items():
            if batch:
                await apply(partition, provider, batch)

    async def renew(self, partition: int, reached: dict[str, str]) -> None:
        """Give the partition a new generation in both places: it has all that the books know."""
        generation = new_generation()
        await self._trust.renew(partition, generation, reached)
        async with self._database.connection() as connection:
            given = {"partition": partition, "generation": generation}
            await connection.execute(queries()["renew_generation"], given)

    async def forget_others(self) -> None:
        """Let the books know of these partitions alone; raises psycopg.Error."""
        async with self._database.connection() as connection:
            given = {"partitions": len(self._topups.keys)}
            await connection.execute(queries()["forget_partitions"], given)

    async def _rows(self, *, since_ms: int) -> AsyncIterator[Row]:
        """Read page by page: the books do not fit into memory."""
        async with self._database.connection(within_s=None) as connection, connection.transaction():
            await _take_time(connection)
            async with connection.cursor(name="needed", row_factory=class_row(Row)) as cursor:
                cursor.itersize = _PAGE_ROWS
                await cursor.execute(queries()["still_needed"], {"since_ms": since_ms})
                async for row in cursor:
                    yield row

    async def _restore(self, partition: int, provider: str, batch: Sequence[Restoring]) -> None:
        for reply in await self._trust.restore(partition, provider, batch):
            if isinstance(reply, ItemFailed):
                self.done.count(f"not restored: {reply.text}")
            else:
                self.done.count(_named(*reply))

    async def _rehearse(self, partition: int, provider: str, batch: Sequence[Restoring]) -> None:
        del provider
        names = self._topups.keys[partition]
        asked = [("HGET", names.record(item.id), "state") for item in batch]
        for item, state in zip(batch, await self._client.ask_each(names.meta, asked), strict=True):
            if isinstance(state, Exception):
                raise state
            self.done.count(_named(*_would(item, state and State(state.decode()))))


def _would(item: Restoring, state: State | None) -> tuple[str, str]:
    """Return what the function would answer: see `leads_on` in topups.lua."""
    booked = item.seq > 0
    if state in FINAL:
        return "differs" if booked and item.to in FINAL and item.to is not state else "kept", state
    if state is State.UNRESOLVED and not (booked and item.to in FINAL):
        return "kept", state
    return "restored", item.to


def _named(reply: str, state: str) -> str:
    return f"{reply} as {state}" if reply == "restored" else reply


def _restoring(row: Row, *, now_ms: int, window_ms: int) -> Restoring:
    """Return where the topup must be; one without an outcome may have been sent meanwhile."""
    request = TopupRequested(
        customer_id=row.customer_id,
        phone=row.phone,
        country=row.country,
        amount_minor=row.amount_minor,
        currency=row.currency,
        provider=row.provider if row.route is None else AUTO,
        product=row.product,
        reference=row.reference,
        metadata=None if row.metadata is None else msgspec.json.decode(row.metadata),
        route=None if row.route is None else msgspec.json.decode(row.route),
    )
    booked = row.seq > 0
    evidence = Evidence(by=_BY, raw="the streams lost what became of it")
    return Restoring(
        id=row.topup_id,
        request=request,
        accepted_at_ms=row.accepted_at_ms,
        seq=row.seq,
        to=State(row.status) if booked else State.UNRESOLVED,
        reason=row.reason if booked else Reason.STREAMS_LOST,
        provider_reference=row.its_reference,
        evidence=b"" if booked else encode(evidence),
        settled_at_ms=row.settled_at_ms,
        window_ms=max(row.settled_at_ms + window_ms - now_ms, 1),
    )


async def _take_time(connection: Connection) -> None:
    """Let the transaction outlast each pause between its pages."""
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '10min'")
    await connection.execute("SET LOCAL statement_timeout = '10min'")


async def unbooked(client: Client, topups: Topups, partitions: Collection[int]) -> bool:
    """Tell whether anything on these streams has not been read, booked and acknowledged."""
    for partition in partitions:
        names = topups.keys[partition]
        for stream in (names.outcomes, *map(names.requests, OFFERS)):
            groups = {row["name"]: row for row in await client.xinfo_groups(stream)}
            ledger = groups[LEDGER_GROUP.encode()]
            unread = f"({ledger['last-delivered-id'].decode()}"
            if ledger["pending"] or await client.xrange(stream, unread, "+", count=1):
                return True
    return False
