"""Whoever only looks sees every entry once, in order, and leaves no trace."""

import asyncio

import pytest

from shared.bus.reader import Entry
from shared.bus.tail import ENTRIES_MAX, Positions, ends_of, follow
from shared.runtime.redis import Client

pytestmark = pytest.mark.integration


async def look(client: Client, positions: Positions, *, until: int) -> list[Entry]:
    """Follow until so many entries were seen; no batch may be longer than promised."""
    problems: list[BaseException] = []
    seen: list[Entry] = []
    async with asyncio.timeout(20):
        async for entries in follow(
            client, positions, block_ms=50, lost=problems.append, back=lambda: None
        ):
            assert len(entries) <= ENTRIES_MAX
            seen += entries
            if len(seen) >= until:
                break
    assert problems == []
    return seen


async def test_streams_of_different_speed_stay_in_order(redis: Client) -> None:
    """However far one is ahead of the other, and though neither fits one look."""
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(1, 3 * ENTRIES_MAX):
            stream = "rare" if number % 100 == 0 else "busy"
            pipe.xadd(stream, {"n": number}, id=f"{number}-0")
        await pipe.execute()
    seen = await look(redis, {"rare": "0-0", "busy": "0-0"}, until=3 * ENTRIES_MAX - 1)
    assert [int(entry.fields["n"]) for entry in seen] == list(range(1, 3 * ENTRIES_MAX))


async def test_only_what_comes_is_seen_from_the_end_on(redis: Client) -> None:
    """Also of a stream that is not there yet."""
    await redis.xadd("old", {"n": 1})
    positions = await ends_of(redis, ["old", "new"])
    looking = asyncio.create_task(look(redis, positions, until=2))
    await redis.xadd("old", {"n": 2})
    await redis.xadd("new", {"n": 3})
    assert {entry.fields["n"] for entry in await looking} == {b"2", b"3"}


async def test_nothing_is_taken_and_nobody_is_registered(redis: Client) -> None:
    """The group has as much before it as before, and no consumer more."""
    await redis.xgroup_create("lane", "dispatcher", id="0", mkstream=True)
    await redis.xadd("lane", {"n": 1})
    before = await redis.xinfo_groups("lane")
    await look(redis, {"lane": "0-0"}, until=1)
    assert await redis.xinfo_groups("lane") == before
