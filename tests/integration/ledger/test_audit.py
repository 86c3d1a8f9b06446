"""`topup ledger verify` names what somebody did to the books behind the ledger's back."""

import asyncio
from collections.abc import Callable, Iterator

import psycopg
import pytest

from services.ledger.audit import Audit
from services.ledger.books import Books
from shared.contracts.states import State
from tests.integration.ledger.conftest import fresh, opened
from tests.integration.ledger.entries import Life, entries_of, outcome, request
from tests.integration.ledger.test_books import book

pytestmark = pytest.mark.integration

LAST = "every topup is what its last outcome says"
CENT = "every request and outcome has its postings, in its currency, to the cent"
TOTALS = "the totals are what the rows add up to"
BALANCES = "what was charged, is owed and is in limbo is what the totals say"
BELONGS = "every outcome belongs to a topup, a second one only to an unresolved one"
AS_READ = "every request and outcome is what was read from the streams"

DAMAGE = [
    # a topup's row
    ("UPDATE topups SET status = 'failed'", LAST),
    ("UPDATE topups SET reason = 'refused'", LAST),
    ("UPDATE topups SET provider_reference = 'P0'", LAST),
    ("UPDATE topups SET settled_at = settled_at + interval '1 ms'", LAST),
    ("UPDATE topups SET seq = 0, status = 'queued', settled_at = null", LAST),
    ("UPDATE topups SET amount_minor = 999", CENT),
    ("UPDATE topups SET currency = 'USD'", CENT),
    ("UPDATE topups SET accepted_at = accepted_at + interval '1 day'", TOTALS),
    ("UPDATE topups SET phone = '+525500000000'", AS_READ),
    ("UPDATE topups SET customer_id = 'C9'", AS_READ),
    ("UPDATE topups SET provider = 'OTHER'", AS_READ),
    ("UPDATE topups SET product = 'XOOM_20_MXN'", AS_READ),
    ("UPDATE topups SET reference = 'mine'", AS_READ),
    ("UPDATE topups SET metadata = '{}'", AS_READ),
    ("UPDATE topups SET digest = 'x'", AS_READ),
    ("DELETE FROM topups", BELONGS),
    ("DELETE FROM topups WHERE status = 'queued'", CENT),
    # an outcome
    ("UPDATE outcomes SET state = 'failed' WHERE seq = 1 AND state = 'succeeded'", CENT),
    ("UPDATE outcomes SET evidence = null", AS_READ),
    ("UPDATE outcomes SET reason = 'resolved'", AS_READ),
    ("UPDATE outcomes SET tried = '1 []'", AS_READ),
    ("UPDATE outcomes SET seq = 2 WHERE state = 'succeeded'", BELONGS),
    ("DELETE FROM outcomes WHERE seq = 1", BELONGS),
    ("DELETE FROM outcomes WHERE seq = 2", LAST),
    (
        """INSERT INTO outcomes
           SELECT topup_id, 2, 'failed', null, null, null, now(), '1-1', '' FROM topups
           WHERE status = 'succeeded' AND seq = 1""",
        BELONGS,
    ),
    # a posting
    ("DELETE FROM postings WHERE seq = 0", CENT),
    ("DELETE FROM postings WHERE credit = 'payable'", CENT),
    ("UPDATE postings SET amount_minor = amount_minor + 1 WHERE credit = 'charged'", CENT),
    ("UPDATE postings SET currency = 'USD'", CENT),
    ("UPDATE postings SET credit = 'limbo' WHERE credit = 'charged'", CENT),
    ("UPDATE postings SET debit = 'available' WHERE debit = 'held'", CENT),
    ("INSERT INTO postings VALUES (gen_random_uuid(), 0, 1, 'a', 'b', 'MXN', 1)", CENT),
    (
        "INSERT INTO postings VALUES (gen_random_uuid(), 0, 1, 'held', 'charged', 'MXN', 1)",
        BALANCES,
    ),
    # the totals
    ("UPDATE totals SET amount_minor = amount_minor + 1", TOTALS),
    ("UPDATE totals SET transactions = transactions - 1 WHERE quarter > 'epoch'", TOTALS),
    ("DELETE FROM totals WHERE kind = 'accepted'", TOTALS),
    ("INSERT INTO totals VALUES ('epoch', 'succeeded', 'USD', 1, 1)", TOTALS),
    ("UPDATE totals SET amount_minor = 7 WHERE kind = 'succeeded' AND quarter = 'epoch'", BALANCES),
    ("UPDATE totals SET amount_minor = 7 WHERE kind = 'resolved' AND quarter = 'epoch'", BALANCES),
]


TABLES = ("topups", "outcomes", "postings", "totals")


@pytest.fixture(scope="module")
def booked_url(postgres_url: str, template: str) -> Iterator[str]:
    """Sound books, and a copy of each table beside them."""
    with fresh(postgres_url, template) as url:
        asyncio.run(_book(url))
        with psycopg.connect(url) as connection:
            for table in TABLES:
                connection.execute(f"CREATE TABLE sound_{table} AS TABLE {table}".encode())
                connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        yield url


@pytest.fixture
def damaged(booked_url: str) -> Iterator[Callable[[str], None]]:
    """Do something to the books as their owner can; afterwards they are sound again."""

    def damage(statement: str) -> None:
        with psycopg.connect(booked_url) as connection:
            assert connection.execute(statement.encode()).rowcount > 0, "it damaged nothing"

    yield damage
    with psycopg.connect(booked_url) as connection:
        for table in TABLES:
            connection.execute(f"DELETE FROM {table}".encode())
            connection.execute(f"INSERT INTO {table} TABLE sound_{table}".encode())


@pytest.mark.parametrize(("damage", "promise"), DAMAGE, ids=[damage for damage, _ in DAMAGE])
async def test_verify_names_what_is_broken_and_one_row_of_it(
    booked_url: str, damaged: Callable[[str], None], damage: str, promise: str
) -> None:
    """The owner can switch the refusals off; what is done then is found, and where."""
    async with opened(booked_url) as database:
        audit = Audit(database)
        assert [check for check in await audit.verify() if check.broken] == []
        damaged(damage)
        broken = {check.promise: check.example for check in await audit.verify() if check.broken}
        assert broken.get(promise), broken


async def _book(url: str) -> None:
    async with opened(url) as database:
        await book(
            Books(database),
            [
                request(1),
                outcome(1, State.SUCCEEDED),
                *entries_of(3, Life(200, (State.UNRESOLVED, State.FAILED))),
                *entries_of(5, Life(300, (State.UNRESOLVED,))),
                request(7),
            ],
        )
