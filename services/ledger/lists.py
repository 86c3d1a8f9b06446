"""A customer's topups, newest first: as they are booked, and what is still open as it is by now.

The books know a topup as queued until it is settled. Whether it is in flight or parked stands in
its record only, so the records of open topups are looked at, all of a page together.
"""

from collections.abc import AsyncIterator, Sequence

from msgspec.structs import asdict, replace

from services.ledger.spreadsheet import HEADER, written
from services.ledger.store import Past
from shared.bus.records import LaneState, Record
from shared.bus.topups import Topups
from shared.contracts.limits import BATCH_MAX
from shared.contracts.peers import (
    PAGE_MAX,
    Place,
    TopupFilter,
    TopupPage,
    TopupQuery,
    TopupRow,
)
from shared.contracts.states import SETTLED, State
from shared.contracts.streams import partition_of


class Lists:
    """Reads pages from the books, and lays the records over them."""

    def __init__(self, past: Past, topups: Topups) -> None:
        self._past = past
        self._topups = topups

    async def page(self, query: TopupQuery) -> TopupPage:
        """Return at most `query.limit` topups.

        A page of open topups may be shorter than that and not the last: what has gone on since
        it was booked is left out.

        Raises:
            psycopg.Error: the books cannot be read.
            NotAccepted, NotKnown, RedisError: the records of open topups cannot be looked at.
        """
        asked_open = query.status is not None and query.status not in SETTLED
        rows_max = max(query.limit + 1, BATCH_MAX) if asked_open else query.limit + 1
        status = State.QUEUED if asked_open else query.status
        booked = await self._past.topups(replace(query, status=status, limit=rows_max))
        rows = [row for row in await self._by_now(booked) if query.status in (None, row.status)]
        page = rows[: query.limit]
        if len(rows) > query.limit:
            return TopupPage(page, _place(page[-1]))
        return TopupPage(page, _place(booked[-1]) if len(booked) == rows_max else None)

    async def file(self, wanted: TopupFilter) -> AsyncIterator[bytes]:
        """Yield a CSV file of all of them, page by page; raises as `page`.

        No transaction and no connection is held between the pages: whoever reads slowly keeps
        nothing from being vacuumed, and what is not read is not asked for.
        """
        yield HEADER
        query = TopupQuery(**asdict(wanted), limit=PAGE_MAX)
        while True:
            page = await self.page(query)
            if page.rows:
                yield written(page.rows)
            if page.next is None:
                return
            query = replace(query, after_ms=page.next.at_ms, after_id=page.next.topup_id)

    async def _by_now(self, rows: Sequence[TopupRow]) -> Sequence[TopupRow]:
        is_open = [row for row in rows if row.status == State.QUEUED]
        if not is_open:
            return rows
        partition = partition_of(rows[0].customer_id, len(self._topups.keys))
        records: dict[str, Record] = {}
        for start in range(0, len(is_open), BATCH_MAX):
            ids = [row.topup_id for row in is_open[start : start + BATCH_MAX]]
            found = await self._topups.look(partition, ids)
            records |= {record.id: record for record in found if isinstance(record, Record)}
        lanes, now_ms = await self._topups.lanes(partition), await self._topups.now_ms(partition)
        return [
            _as_recorded(row, records[row.topup_id], lanes, now_ms)
            if row.topup_id in records
            else row
            for row in rows
        ]


def _as_recorded(
    row: TopupRow, record: Record, lanes: dict[str, LaneState], now_ms: int
) -> TopupRow:
    seen = record.seen(lanes.get(record.lane, LaneState()), now_ms)
    provider, product = record.sold_by
    return replace(
        row,
        provider=provider,
        product=product,
        status=seen.state.value,
        reason=seen.reason,
        expected_at_ms=seen.expected_at_ms,
        provider_reference=record.provider_reference,
        settled_at_ms=record.settled_at_ms,
    )


def _place(row: TopupRow) -> Place:
    return Place(row.accepted_at_ms, row.topup_id)
