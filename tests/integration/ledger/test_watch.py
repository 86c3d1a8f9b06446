"""The ledger vouches for streams that have what is booked, and else holds every lane."""

import pytest

from services.ledger.books import Books
from services.ledger.database import Database
from services.ledger.watch import Standing, Watch
from shared.bus.lanes import Lanes
from shared.bus.topups import Topups
from shared.bus.trust import Trust
from shared.contracts.acts import act_by
from shared.runtime.redis import Client
from tests.integration.ledger.entries import request
from tests.integration.ledger.test_books import fetch

pytestmark = pytest.mark.integration

LANE = "LATCOM"


class Parts:
    """A watch over an empty server and empty books, in two partitions."""

    def __init__(self, redis: Client, database: Database) -> None:
        self.topups = Topups(redis, partitions=2, window_ms=60_000)
        trust = Trust(redis, self.topups)
        self.watch = Watch(self.topups, trust, database, providers=[LANE])

    async def look(self) -> list[Standing]:
        """Compare both partitions."""
        return list(await self.watch.look(compare=True))

    async def reasons(self) -> list[str | None]:
        """Return why the lane is held, in each partition."""
        lanes = [await self.topups.lanes(partition) for partition in range(2)]
        return [lane[LANE].reason if LANE in lane else None for lane in lanes]


@pytest.fixture
async def parts(redis: Client, database: Database) -> Parts:
    """Both, prepared."""
    parts = Parts(redis, database)
    await parts.topups.prepare(LANE)
    assert await parts.look() == [Standing.VERIFIED] * 2
    return parts


async def test_how_far_a_stream_is_booked_is_booked_with_it(books: Books, ledger_url: str) -> None:
    """In the same transaction; whichever batch commits last, it never goes back."""
    await books.book([request(1)], [], reached={"a": "10-9", "b": "3-0"})
    await books.book([], [], reached={"a": "10-10"})
    await books.book([request(1)], [], reached={"a": "9-99", "b": "3-1"})
    rows = await fetch(ledger_url, "SELECT stream, entry_ms, entry_seq FROM positions ORDER BY 1")
    assert rows == [("a", 10, 10), ("b", 3, 1)]


async def test_a_stream_that_is_behind_the_books_holds_every_lane(
    parts: Parts, books: Books, redis: Client
) -> None:
    """In every partition, though the loss is in one; an operator's hold is left as it is."""
    await Lanes(redis, parts.topups).hold(LANE, act=act_by("ops", why="strike"))
    await Lanes(redis, parts.topups).release(LANE, act=act_by("ops", why=""))
    await books.book([request(1)], [], reached={parts.topups.keys[1].requests(LANE): "5-0"})
    assert await parts.look() == [Standing.VERIFIED, Standing.LOST]
    assert await parts.reasons() == ["streams_lost"] * 2
    assert not await parts.topups.verified(1)
    await redis.xadd(parts.topups.keys[1].requests(LANE), {"x": "y"}, id="5-0")
    assert await parts.look() == [Standing.VERIFIED] * 2
    await Lanes(redis, parts.topups).hold(LANE, act=act_by("ops", why="strike"), replace=True)
    await parts.watch.release()
    assert await parts.reasons() == ["strike"] * 2


async def test_an_emptied_server_is_held_before_anything_else(parts: Parts, redis: Client) -> None:
    """Each time that it is emptied; only what was held for the loss is opened again."""
    await redis.flushall()
    assert await parts.look() == [Standing.LOST] * 2
    assert await parts.reasons() == ["streams_lost"] * 2
    await redis.flushall()
    assert await parts.look() == [Standing.LOST] * 2
    assert await parts.reasons() == ["streams_lost"] * 2
    await parts.watch.release()
    assert [lane[LANE].state for lane in [await parts.topups.lanes(n) for n in range(2)]] == [
        "open"
    ] * 2
