"""Do the books have every topup that the streams have accepted."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

import psycopg
from redis.exceptions import RedisError, ResponseError

from ops.checks.finding import Finding
from ops.connections import setting
from shared.contracts.catalogue import OFFERS
from shared.contracts.streams import LEDGER_GROUP, PartitionKeys
from shared.runtime.redis import Client, connect

_CONNECT_S_MAX: Final = 5
_BOOKED: Final = """
    SELECT coalesce(sum(transactions), 0)::bigint FROM totals
    WHERE quarter = 'epoch' AND kind = 'accepted'
"""
_REMEDY: Final = "run `topup replay`; docs/operations.md, Back up and restore"


async def check_books(environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Compare REDIS_URL with DATABASE_URL; where one is away its own checks say so."""
    streams, books = setting("REDIS_URL", environ), setting("DATABASE_URL", environ)
    if streams is None or books is None:
        return
    client = connect(streams)
    try:
        # in this order: what was accepted by the first is booked by the last, or waits in between
        accepted, unbooked = await _accepted(client)
        missing = accepted - unbooked - _booked(books)
    except (RedisError, OSError, psycopg.Error):
        return
    finally:
        await client.aclose()
    if missing <= 0:
        yield Finding("books", "they have every topup that was accepted")
    else:
        yield Finding("books", f"they lack {missing:,} topups that were accepted", _REMEDY)


async def _accepted(client: Client) -> tuple[int, int]:
    """Return how many topups were ever accepted, and how many entries may not be booked yet."""
    written = await client.hget(PartitionKeys(0).meta, "partitions")
    partitions = [PartitionKeys(number) for number in range(int(written or 1))]
    counted = [await client.hget(names.counters, "accepted") for names in partitions]
    waiting = [
        await _unbooked(client, names.requests(provider))
        for names in partitions
        for provider in OFFERS
    ]
    return sum(int(count or 0) for count in counted), sum(waiting)


async def _unbooked(client: Client, stream: str) -> int:
    try:
        groups = {row["name"]: row for row in await client.xinfo_groups(stream)}
    except ResponseError:  # nothing was ever put there
        return 0
    ledger = groups.get(LEDGER_GROUP.encode())
    if ledger is None or ledger["lag"] is None:  # the server has lost count
        return int(await client.xlen(stream))
    return int(ledger["pending"]) + int(ledger["lag"])


def _booked(url: str) -> int:
    with psycopg.connect(url, connect_timeout=_CONNECT_S_MAX, autocommit=True) as connection:
        row = connection.execute(_BOOKED).fetchone()
    return row[0] if row else 0
