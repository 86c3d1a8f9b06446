"""The books are the same whatever the order, the repeats and the batches of what arrives."""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ledger.audit import Audit
from services.ledger.books import Books
from services.ledger.database import Database
from services.ledger.entries import Outcome, Request
from shared.contracts.states import State
from tests.integration.ledger.conftest import fresh, opened
from tests.integration.ledger.entries import Life, entries_of, lives, outcome, request

pytestmark = pytest.mark.integration


async def book(books: Books, entries: Sequence[object]) -> Any:
    """Book one batch."""
    return await books.book(
        [one for one in entries if isinstance(one, Request)],
        [one for one in entries if isinstance(one, Outcome)],
    )


async def fetch(url: str, query: Any) -> list[tuple[Any, ...]]:
    """Ask the database itself."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        return await (await connection.execute(query)).fetchall()


@pytest.fixture(scope="module")
def unused(postgres_url: str, template: str) -> tuple[str, str]:
    """Where fresh ledgers are made, for tests that need many."""
    return postgres_url, template


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), told=st.lists(lives(), min_size=1, max_size=8))
def test_any_order_repeat_and_split_makes_the_same_books(
    unused: tuple[str, str], data: st.DataObject, told: list[Life]
) -> None:
    """What was booked does not depend on how it came; and it always adds up."""
    entries = [one for number, life in enumerate(told) for one in entries_of(number, life)]
    repeated = entries + data.draw(st.lists(st.sampled_from(entries), max_size=6))
    shuffled = data.draw(st.permutations(repeated))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    batches = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]

    async def digest_of(batches: Sequence[Sequence[object]]) -> str:
        with fresh(*unused) as url:
            async with opened(url) as database:
                books, audit = Books(database), Audit(database)
                for batch in batches:
                    await book(books, batch)
                assert [check for check in await audit.verify() if check.broken] == []
                return await audit.digest()

    assert asyncio.run(digest_of(batches)) == asyncio.run(digest_of([entries]))


async def test_books_with_another_content_have_another_digest(
    books: Books, database: Database
) -> None:
    """A digest that never differs would tell nothing."""
    await book(books, [request(1)])
    first = await Audit(database).digest()
    await book(books, [outcome(1, State.SUCCEEDED)])
    assert await Audit(database).digest() != first


async def test_a_batch_twice_changes_nothing(books: Books, database: Database) -> None:
    """Also the counts that it returns say so."""
    batch = [request(1), outcome(1, State.UNRESOLVED), outcome(1, State.FAILED, seq=2)]
    assert (booked := await book(books, batch)).requests == 1
    assert booked.outcomes == 2
    before = await Audit(database).digest()
    again = await book(books, batch)
    assert (again.requests, again.outcomes, again.set_aside) == (0, 0, 0)
    assert await Audit(database).digest() == before


async def test_ledgers_that_book_the_same_at_once_book_it_once(
    books: Books, database: Database
) -> None:
    """Eight at once, each with all of it in another order; nobody waits for another for ever."""
    batch = [
        one
        for number in range(40)
        for one in entries_of(number, Life(100, (State.UNRESOLVED, State.SUCCEEDED)))
    ]
    turns = [batch[turn:] + batch[:turn] for turn in range(0, 80, 10)]
    booked = await asyncio.gather(*(book(books, turn) for turn in turns))
    assert sum(one.requests for one in booked) == 40
    assert sum(one.outcomes for one in booked) == 80
    assert [check for check in await Audit(database).verify() if check.broken] == []


async def test_every_cent_has_its_place(books: Books, ledger_url: str) -> None:
    """Held while open; then charged and owed to the provider, given back, or in limbo."""
    await book(
        books,
        [
            *entries_of(1, Life(100, ())),
            *entries_of(3, Life(200, (State.SUCCEEDED,))),
            *entries_of(5, Life(400, (State.FAILED,))),
            *entries_of(7, Life(800, (State.UNRESOLVED,))),
            *entries_of(9, Life(1_600, (State.UNRESOLVED, State.SUCCEEDED))),
            *entries_of(11, Life(3_200, (State.UNRESOLVED, State.FAILED))),
        ],
    )
    balances = await fetch(
        ledger_url,
        """SELECT account, sum(amount_minor)::int FROM (
               SELECT credit AS account, amount_minor FROM postings
               UNION ALL SELECT debit, -amount_minor FROM postings) AS moves
           GROUP BY account HAVING sum(amount_minor) <> 0""",
    )
    assert dict(balances) == {
        "available": -(100 + 200 + 800 + 1_600),
        "held": 100,
        "charged": 200 + 1_600,
        "limbo": 800,
        "cost": -(200 + 1_600),
        "payable": 200 + 1_600,
    }


async def test_what_contradicts_the_books_is_set_aside_for_people(
    books: Books, database: Database, ledger_url: str
) -> None:
    """The first stays; the other is kept once; the rest of the batch is booked."""
    await book(books, [request(1), outcome(1, State.SUCCEEDED)])
    before = await fetch(ledger_url, "SELECT * FROM topups")
    wrong = [request(1, amount_minor=9), outcome(1, State.FAILED)]
    booked = await book(books, [*wrong, *wrong, request(2)])
    assert (booked.requests, booked.outcomes, booked.set_aside) == (1, 0, 2)
    assert (await fetch(ledger_url, "SELECT count(*) FROM set_aside")) == [(2,)]
    assert (await fetch(ledger_url, "SELECT * FROM topups"))[:1] == before
    assert [check for check in await Audit(database).verify() if check.broken] == []
