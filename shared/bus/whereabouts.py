"""Where one topup is in Redis: its record, what carries it on, and copies put before people."""

import asyncio
from typing import Final

import msgspec

from shared.bus.records import Record, read_record
from shared.bus.topups import Topups
from shared.contracts.streams import DISPATCHER_GROUP
from shared.runtime.redis import Client

DEAD_READ_MAX: Final = 1_000
"""Of the newest copies: who looks for older ones has `topup dead list`."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Which dispatcher has the lane entry, and since when."""

    consumer: str
    idle_ms: int
    times: int


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """A record and its carrier: a lane entry, or a place among the waiting that is due then."""

    partition: int
    record: Record
    entry_exists: bool = False
    delivery: Delivery | None = None
    due_ms: int | None = None
    now_ms: int  # by the server's clock


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """What was put before people, and why."""

    at_ms: int
    entry: str  # of the copy
    reason: str


async def copies(
    client: Client, topups: Topups, partition: int, topup_id: str, *, since_ms: int
) -> list[Copy]:
    """Return the topup's copies among the newest of its partition, oldest first."""
    rows = await client.xrevrange(
        topups.keys[partition].dead, "+", f"{since_ms}-0", count=DEAD_READ_MAX
    )
    return [
        Copy(
            at_ms=int(entry.partition(b"-")[0]),
            entry=entry.decode(),
            reason=fields.get(b"reason", b"").decode(errors="replace"),
        )
        for entry, fields in reversed(rows)
        if fields.get(b"id") == topup_id.encode()
    ]


async def find(client: Client, topups: Topups, topup_id: str) -> Whereabouts | None:
    """Return where it is, in whichever partition; changes nothing.

    Raises:
        UnreadableRecord: its record is not one that this version can read.
    """
    keys = [names.record(topup_id) for names in topups.keys]
    rows = await asyncio.gather(*(client.ask(key, "HGETALL", key) for key in keys))
    for partition, row in enumerate(rows):
        record = read_record(topup_id, row)
        if record is not None:
            return await _carried(client, topups, partition, record)
    return None


async def _carried(client: Client, topups: Topups, partition: int, record: Record) -> Whereabouts:
    names = topups.keys[partition]
    due = await client.zscore(names.waiting, record.id)
    entry_exists, delivery = False, None
    if record.entry is not None:
        lane = names.requests(record.lane)
        entry_exists = bool(await client.xrange(lane, record.entry, record.entry))
        pending = await client.xpending_range(
            lane, DISPATCHER_GROUP, min=record.entry, max=record.entry, count=1
        )
        if pending:
            delivery = Delivery(
                consumer=pending[0]["consumer"].decode(),
                idle_ms=pending[0]["time_since_delivered"],
                times=pending[0]["times_delivered"],
            )
    return Whereabouts(
        partition=partition,
        record=record,
        entry_exists=entry_exists,
        delivery=delivery,
        due_ms=None if due is None else int(due),
        now_ms=await topups.now_ms(partition),
    )
