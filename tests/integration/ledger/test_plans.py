"""How PostgreSQL goes about each statement, where books are as skewed as real ones."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest

from bench.ledger_fill import DAY_MS, FIRST_MS, Generator, add_customers, copy_in, customer
from services.ledger.books import Books
from services.ledger.database import Database
from services.ledger.queries import queries
from shared.contracts.peers import PAGE_MAX
from shared.contracts.states import State
from tests.integration.ledger.conftest import fresh
from tests.integration.ledger.entries import outcome, request, topup_id

pytestmark = pytest.mark.integration

TOPUPS = 20_000
LARGE = {"topups", "outcomes", "postings"}
"""What grows with every topup; of all else there are some hundreds of rows."""
WHOLE = {
    **dict.fromkeys(
        ("wrong_postings", "wrong_outcomes", "wrong_topups", "wrong_totals", "wrong_balances"),
        "an audit of everything",
    ),
    **dict.fromkeys(("requests_as_read", "outcomes_as_read"), "an audit of everything"),
    "digest": "of everything",
    "still_needed": "once, when the streams are lost: everything that is open",
}
BATCH = range(16)
"""As few beside the table as 256 beside millions: else to walk over it is the better plan."""
IDS = [topup_id(number) for number in BATCH]
ASKED: dict[str, dict[str, Any]] = {
    "topup": {"topup_id": IDS[0], "customer_id": customer(0)},
    "unresolved_since": {},
    "whole_topup": {"topup_id": IDS[0]},
    "outcomes_of": {"topup_id": IDS[0]},
    "postings_of": {"topup_id": IDS[0]},
    "unknown_requests": {"topup_id": IDS, "digest": [b""] * len(BATCH)},
    "unknown_outcomes": {
        "topup_id": IDS,
        "seq": [1] * len(BATCH),
        "digest": [b""] * len(BATCH),
        "request_digest": [b""] * len(BATCH),
    },
    "acts_of": {"topup_id": IDS[0], "limit": 100},
    "copy_topups": {"topup_id": IDS},
    "copy_outcomes": {"topup_id": IDS},
    "topups": {
        **dict.fromkeys(
            ("status", "provider", "phone", "from_ms", "to_ms", "after_ms", "after_id")
        ),
        "customer_id": customer(0),
        "limit": PAGE_MAX,
    },  # each filter: test_lists
    "find": {
        "topup_id": None,
        "reference": "order-7",
        "phone": None,
        "limit": 1,
    },
    "sold_between": {
        "provider": "DTONE",
        "from_ms": FIRST_MS + 200 * DAY_MS,
        "to_ms": FIRST_MS + 201 * DAY_MS,
    },
    "sold_as": {"provider": "LATCOM", "topup_id": IDS},
    "unresolved": {
        **dict.fromkeys(("topup_id", "provider", "after_ms", "after_id")),
        "newest": False,
        "limit": PAGE_MAX,
    },
    "limbo": {},
    "in_limbo": {"provider": ["DTONE", "RELOADLY"], "limit": 10_000},
    "lock_topup": {"topup_id": IDS[0]},
    "overtake": {"topup_id": IDS},
}
_TABLE = re.compile(rf"\b({'|'.join(LARGE)})\b")


@pytest.fixture(scope="module")
def books_url(postgres_url: str, template: str) -> Iterator[str]:
    """Books of many customers, the largest with a seventh of all topups."""
    with fresh(postgres_url, template) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            add_customers(connection)
            for made in Generator(TOPUPS, seed=1).chunks():
                copy_in(connection, made)
            connection.execute("VACUUM ANALYZE")
        yield url


def large(text: str) -> bool:
    """Tell whether the statement touches what grows."""
    return _TABLE.search(text) is not None


ASKABLE = [name for name, text in queries().items() if large(text) and name not in WHOLE]


async def written(url: str) -> dict[str, Any]:
    """Book a batch twice; return what each statement was given, at the last time."""
    given: dict[str, Any] = {}
    names = {text: name for name, text in queries().items()}
    execute = psycopg.AsyncConnection.execute

    async def noting(connection: Any, query: Any, params: Any = None, **more: Any) -> Any:
        if query in names:
            given[names[query]] = params
        return await execute(connection, query, params, **more)

    database = Database(url, connections_max=1)
    await database.open()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(psycopg.AsyncConnection, "execute", noting)
            for _ in range(2):
                requests = [request(number) for number in BATCH]
                ends = [outcome(number, State.SUCCEEDED) for number in BATCH]
                await Books(database).book(requests, [])
                await Books(database).book(requests, ends)
    finally:
        await database.close()
    return given


@pytest.fixture(scope="module")
def asked(books_url: str) -> dict[str, Any]:
    """With what each statement is asked: the booking ones as the ledger itself asks."""
    return ASKED | asyncio.run(written(books_url))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Walk a plan."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def explain(url: str, name: str, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run it for good measure, take it back, and return the nodes of its plan."""
    text = queries()[name]
    copied = re.fullmatch(r"COPY \((.*)\) TO STDOUT;?", text, re.DOTALL)
    statement = copied[1] if copied else text
    with psycopg.connect(url) as connection:
        if "pg_temp" in text:
            for table in ("topups", "outcomes"):
                like = f"CREATE TEMP TABLE {table} (LIKE public.{table} INCLUDING ALL)"
                connection.execute(like.encode())
        row = connection.execute(
            b"EXPLAIN (ANALYZE, FORMAT JSON) " + statement.encode(), arguments, prepare=False
        ).fetchone()
        connection.rollback()
    assert row is not None
    return list(nodes(row[0][0]["Plan"]))


@pytest.mark.parametrize("name", ASKABLE)
def test_no_statement_walks_over_what_grows(
    books_url: str, asked: dict[str, Any], name: str
) -> None:
    """An index finds it, whoever asks; and no more than a page is sorted."""
    assert name in asked, f"say in ASKED with what {name} is asked, or in WHOLE why it reads all"
    for node in explain(books_url, name, asked[name]):
        walks = node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE
        assert not walks or node.get("Schema") == "pg_temp", node
        if "Sort" in node["Node Type"]:
            (inner,) = node["Plans"]
            assert inner["Actual Rows"] * inner["Actual Loops"] <= PAGE_MAX, node


def test_what_reads_everything_is_known() -> None:
    """A new statement is held to the rule, unless it says why not."""
    assert WHOLE.keys() <= queries().keys()
    assert ASKED.keys() <= set(ASKABLE)
