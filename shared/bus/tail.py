"""Reads streams as they grow, for whoever only looks: no group, nothing acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from redis.exceptions import RedisError

from shared.bus.reader import Entry, read_after
from shared.bus.records import place
from shared.runtime.redis import Client

ENTRIES_MAX: Final = 1_000
"""How many are held at once, over all streams."""
_PAUSE_S_MIN: Final = 0.2
_PAUSE_S_MAX: Final = 2.0

Positions = dict[str, str]
"""By stream the id of the last entry that was seen."""


async def ends_of(client: Client, streams: Sequence[str]) -> Positions:
    """Return where the streams end now, so that only what comes later is read.

    Raises:
        RedisError, OSError: the server does not answer.
    """
    found = await asyncio.gather(*(client.xrevrange(stream, count=1) for stream in streams))
    return {
        stream: rows[0][0].decode() if rows else "0-0"
        for stream, rows in zip(streams, found, strict=True)
    }


async def follow(
    client: Client,
    positions: Positions,
    *,
    block_ms: int,
    lost: Callable[[BaseException], None],
    back: Callable[[], None],
) -> AsyncIterator[list[Entry]]:
    """Yield entries in the order of their ids, for ever; an empty list where none came.

    Whoever reads slowly is given the past slowly: nothing is kept for them here or at the server.
    While the server is away it is tried again and again, from the last ids; `lost` and `back`
    hear of it.
    """
    pause_s = 0.0
    while True:
        try:
            entries = await _read(client, positions, block_ms=block_ms)
        except (RedisError, OSError) as problem:
            if not pause_s:
                lost(problem)
            pause_s = min(_PAUSE_S_MAX, max(_PAUSE_S_MIN, 2 * pause_s))
            await asyncio.sleep(pause_s)
            yield []
            continue
        if pause_s:
            back()
            pause_s = 0.0
        yield entries


async def _read(client: Client, positions: Positions, *, block_ms: int) -> list[Entry]:
    """Return the next entries of all streams together, and move the positions behind them.

    Where a stream has more than was asked for, the others are cut at its last id and read again
    from there: so they stay in order without a buffer.
    """
    count = max(ENTRIES_MAX // len(positions), 1)
    found = await read_after(client, positions, count_max=count, block_ms=block_ms)
    by_stream: dict[str, list[Entry]] = {}
    for entry in found:
        by_stream.setdefault(entry.stream, []).append(entry)
    entries = sorted(found, key=lambda entry: place(entry.id))
    full = [rows[-1] for rows in by_stream.values() if len(rows) == count]
    if full:
        horizon = min(place(entry.id) for entry in full)
        entries = [entry for entry in entries if place(entry.id) <= horizon]
    positions.update((entry.stream, entry.id) for entry in entries)
    return entries
