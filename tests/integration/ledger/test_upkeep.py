"""The timers of a ledger: one thing that fails holds up nothing else."""

import asyncio

import pytest
from structlog.testing import capture_logs

from services.ledger.books import Books
from services.ledger.chain import Chain
from services.ledger.database import Database
from services.ledger.overtaken import Overtaken
from services.ledger.proposals import Proposals
from services.ledger.upkeep import Upkeep
from services.ledger.worker import Bookkeeper
from shared.bus.reader import GroupReader
from shared.bus.topups import Topups
from shared.contracts.streams import LEDGER_GROUP
from shared.runtime.clock import SystemClock
from shared.runtime.redis import Client
from shared.runtime.upkeep import take_each

pytestmark = pytest.mark.integration
PROVIDERS = ["LATCOM"]


async def test_a_takeover_that_fails_lets_the_streams_be_trimmed(
    redis: Client, database: Database, books: Books
) -> None:
    """A group that is gone is no reason to let memory fill up."""
    topups = Topups(redis, partitions=1, window_ms=1)
    await topups.prepare(PROVIDERS[0])
    bookkeeper = Bookkeeper(
        0,
        topups=topups,
        providers=PROVIDERS,
        reader=GroupReader(redis, group=LEDGER_GROUP, consumer="me"),
        client=redis,
        books=books,
        chain=Chain(database),
        overtaken=Overtaken(database),
        clock=SystemClock(),
        draining=asyncio.Event(),
        crash=lambda _name: None,
    )
    await database.ping()
    names = topups.keys[0]
    await redis.xgroup_destroy(names.outcomes, LEDGER_GROUP)
    await redis.xadd(names.dead, {"id": "old"}, id="1-0")
    await redis.hset(names.dead_done, "1-0", "{}")  # people are done with it
    swept: list[str] = []

    async def fail() -> None:
        raise OSError("the books were away")

    async def sweep() -> None:
        swept.append("after one that failed")

    upkeep = Upkeep(
        topups,
        [bookkeeper],
        database,
        Proposals(database),
        sweeps=[fail, sweep],
        providers=PROVIDERS,
        retention_ms=60_000,
    )
    with capture_logs() as logs:
        await take_each(upkeep.steps(sweep=False))
        assert not swept
        await take_each(upkeep.steps(sweep=True))
    assert swept == ["after one that failed"]
    assert {line["event"] for line in logs} == {"upkeep_failed"}
    assert await redis.xlen(names.dead) == 0
