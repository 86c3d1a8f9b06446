"""A ledger tells the streams what people say was paid, where no gateway has."""

import pytest
from uuid_utils import uuid7

from services.ledger.books import Books
from services.ledger.database import Database
from services.ledger.proposals import Proposals
from services.ledger.standing import Proposed
from shared.bus.topups import Topups
from shared.contracts.proposals import Proposal, SettleAs, Withdrawing
from shared.contracts.states import State
from shared.contracts.streams import partition_of
from shared.runtime.redis import Client
from tests.integration.ledger.entries import outcome, request, topup_id

pytestmark = pytest.mark.integration

PARTITIONS = 2


async def propose(proposals: Proposals, number: int, settle_as: SettleAs = "succeeded") -> Proposal:
    """Let ana propose it, at a gateway that tells the streams nothing."""
    asked_at_ms = None if settle_as == "succeeded" else 1
    made = Proposal(
        id=str(uuid7()), topup_id=topup_id(number), settle_as=settle_as, evidence="ticket 4711",
        asked_at_ms=asked_at_ms, maker="ana",
    )  # fmt: skip
    assert (await proposals.propose(made)).done
    return made


async def test_what_is_proposed_and_taken_back_reaches_the_streams(
    redis: Client, database: Database, books: Books
) -> None:
    """In each partition, of what is in limbo, and only where somebody says that it was paid."""
    numbers = range(4)
    await books.book(
        [request(number) for number in numbers],
        [outcome(number, State.UNRESOLVED) for number in numbers],
    )
    topups = Topups(redis, partitions=PARTITIONS, window_ms=0)
    records = [
        topups.keys[partition_of(f"C{number % 3}", PARTITIONS)].record(topup_id(number))
        for number in numbers
    ]
    for record in records[:3]:  # of the last one the streams have lost the record
        await redis.hset(record, mapping={"v": 1, "state": "unresolved"})
    proposals, proposed = Proposals(database), Proposed(redis, topups, database)

    async def said() -> list[bytes | None]:
        return [await redis.hget(record, "proposed") for record in records]

    paid = [await propose(proposals, number) for number in (0, 1, 3)]
    await propose(proposals, 2, "failed")
    for _ in range(2):
        await proposed.tell()
        assert await said() == [paid[0].id.encode(), paid[1].id.encode(), None, None]
    gone = Withdrawing(id=paid[0].id, topup_id=paid[0].topup_id, who="ben", why="mistaken")
    assert (await proposals.withdraw(gone)).done
    again = await propose(proposals, 0)
    await proposed.tell()
    assert await said() == [again.id.encode(), paid[1].id.encode(), None, None]
