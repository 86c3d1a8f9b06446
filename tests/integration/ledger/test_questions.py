"""What is in limbo is put on the schedule of questions, where some dispatcher can ask."""

import pytest

from services.ledger.books import Books
from services.ledger.database import Database
from services.ledger.questions import Questions
from shared.bus.beats import Heart
from shared.bus.topups import Topups
from shared.contracts.states import State
from shared.contracts.streams import partition_of
from shared.runtime.clock import SystemClock
from shared.runtime.instance import identify
from shared.runtime.redis import Client
from tests.integration.ledger.entries import outcome, request, topup_id

pytestmark = pytest.mark.integration

PARTITIONS = 2
PROVIDER = "LATCOM"


async def beat(redis: Client, *asks: str) -> None:
    """Let a dispatcher say that it can ask these providers."""
    heart = Heart(
        redis, identify("dispatcher", {"INSTANCE_ID": "d"}, started=0.0), SystemClock(),
        partitions=PARTITIONS, interval_ms=1_000, say=lambda: {"asks": list(asks)},
    )  # fmt: skip
    await heart.beat()


async def test_only_what_can_be_asked_about_is_on_the_schedule(
    redis: Client, database: Database, books: Books
) -> None:
    """In the partition of its customer; what ended is not, nor where nobody can ask."""
    states = [State.UNRESOLVED, State.SUCCEEDED, State.UNRESOLVED, State.UNRESOLVED]
    await books.book(
        [request(number) for number in range(len(states))],
        [outcome(number, state) for number, state in enumerate(states)],
    )
    topups = Topups(redis, partitions=PARTITIONS, window_ms=0)
    questions = Questions(redis, topups, database)

    async def scheduled() -> set[tuple[int, str]]:
        return {
            (partition, member.decode())
            for partition, names in enumerate(topups.keys)
            for member in await redis.zrange(names.limbo(PROVIDER), 0, -1)
        }

    await questions.schedule()
    await beat(redis, "RELOADLY")
    await questions.schedule()
    assert await scheduled() == set()
    await beat(redis, "RELOADLY", PROVIDER)
    await questions.schedule()
    assert await scheduled() == {
        (partition_of(f"C{number % 3}", PARTITIONS), topup_id(number)) for number in (0, 2, 3)
    }
