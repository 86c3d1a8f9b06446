"""Pages and files out of the real books: each topup once, by an index, and as it is by now."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from services.ledger.books import Books
from services.ledger.database import Database
from services.ledger.entries import Request
from services.ledger.lists import Lists
from services.ledger.queries import queries
from services.ledger.spreadsheet import HEADER
from services.ledger.store import Past
from shared.bus.lanes import Lanes
from shared.bus.messages import Acceptance
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.contracts.events import encode
from shared.contracts.peers import PAGE_MAX, Place, TopupFilter, TopupQuery
from shared.contracts.states import State
from shared.contracts.streams import PartitionKeys
from shared.runtime.clock import SystemClock
from shared.runtime.redis import Client, connect
from tests.integration.ledger.conftest import fresh
from tests.integration.ledger.entries import AT_MS, outcome, request, topup_id

pytestmark = pytest.mark.integration

ROWS = 30_000
FILL = """
    INSERT INTO topups (topup_id, customer_id, phone, country, amount_minor, currency, provider,
                        product, accepted_at, digest, status, seq)
    SELECT gen_random_uuid(), 'C' || n %% 3, '+5255' || n %% 500, 'MX', 1000, 'MXN',
           CASE WHEN n %% 7 = 0 THEN 'OTHER' ELSE 'LATCOM' END, 'P',
           'epoch'::timestamptz + (%(at_ms)s + n / 3 * 10) * interval '1 ms', '',
           CASE WHEN n %% 50 = 0 THEN 'failed' WHEN n %% 1000 = 1 THEN 'unresolved'
                WHEN n < 200 THEN 'queued' ELSE 'succeeded' END, 1
    FROM generate_series(1, %(rows)s) AS n
"""
EACH_FILTER: dict[str, Any] = {
    "status": State.SUCCEEDED,
    "provider": "LATCOM",
    "phone": "+525512",
    "from_ms": AT_MS + 20_000,
    "to_ms": AT_MS + 80_000,
    "after": Place(AT_MS + 50_000, topup_id(1)),
}


def combinations(filters: dict[str, Any]) -> list[dict[str, Any]]:
    """Return none, each, all pairs, … and all of them."""
    counts = range(len(filters) + 1)
    return [
        dict(some) for count in counts for some in itertools.combinations(filters.items(), count)
    ]


EQUAL = {name: EACH_FILTER[name] for name in ("status", "provider", "phone")}


@pytest.fixture(scope="module")
def filled(postgres_url: str, template: str) -> Iterator[str]:
    """Tens of thousands of topups of three customers."""
    with fresh(postgres_url, template) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(FILL, {"at_ms": AT_MS, "rows": ROWS})
            connection.execute("VACUUM ANALYZE topups")
        yield url


def query(limit: int = 101, **filters: Any) -> TopupQuery:
    """Return a page of customer C1."""
    place: Place | None = filters.pop("after", None)
    asked = TopupQuery(customer_id="C1", limit=limit, **filters)
    return asked if place is None else after(asked, place)


def after(asked: TopupQuery, place: Place) -> TopupQuery:
    """Return the page behind the place."""
    return replace(asked, after_ms=place.at_ms, after_id=place.topup_id)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Walk a plan."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


@pytest.mark.parametrize("limit", [2, 101, PAGE_MAX])
def test_each_combination_of_filters_is_read_by_an_index(filled: str, limit: int) -> None:
    """No walk over the table, and no sort of more than a page."""
    with psycopg.connect(filled) as connection:
        for filters in combinations(EACH_FILTER):
            arguments = asdict(query(limit, **filters))
            explained = connection.execute(
                b"EXPLAIN (ANALYZE, FORMAT JSON) " + queries()["topups"].encode(),
                arguments,
                prepare=False,
            ).fetchone()
            assert explained is not None
            for node in nodes(explained[0][0]["Plan"]):
                assert node["Node Type"] != "Seq Scan", filters
                if "Sort" in node["Node Type"]:
                    (inner,) = node["Plans"]
                    assert inner["Actual Rows"] * inner["Actual Loops"] <= limit, filters


async def walk(lists: Lists, asked: TopupQuery) -> AsyncIterator[list[str]]:
    """Yield the ids page by page."""
    while True:
        page = await lists.page(asked)
        yield [row.topup_id for row in page.rows]
        if page.next is None:
            return
        asked = after(asked, page.next)


@pytest.mark.parametrize("filters", combinations(EQUAL), ids="+".join)
async def test_pages_are_the_list_cut_to_size(
    filled: str, redis: Client, filters: dict[str, Any]
) -> None:
    """Newest first, exactly what the filters say, nothing twice."""
    where = " AND ".join(["customer_id = 'C1'", *(f"{name} = %({name})s" for name in filters)])
    select = f"SELECT topup_id::text FROM topups WHERE {where}"
    with psycopg.connect(filled) as connection:
        rows = connection.execute(
            f"{select} ORDER BY accepted_at DESC, topup_id DESC".encode(), filters
        ).fetchall()
    async with Open(filled, redis) as lists:
        pages = [ids async for ids in walk(lists, query(PAGE_MAX, **filters))]
    assert all(len(ids) == PAGE_MAX for ids in pages[:-1])
    assert [one for ids in pages for one in ids] == [row[0] for row in rows]


class Open:
    """Lists of a database, for as long as the block lasts."""

    def __init__(self, url: str, redis: Client) -> None:
        self._database = Database(url, connections_max=2)
        self._redis = redis

    async def __aenter__(self) -> Lists:
        await self._database.open()
        past = Past(self._database, SystemClock(), timezone="UTC")
        return Lists(past, Topups(self._redis, partitions=1, window_ms=60_000))

    async def __aexit__(self, *_: object) -> None:
        await self._database.close()


def arrived(customer_id: str, number: int, at_ms: int) -> Request:
    """Return a customer's request, accepted then."""
    one = request(number)
    return replace(one, accepted_at_ms=at_ms, body=replace(one.body, customer_id=customer_id))


@pytest.fixture(scope="module")
def shared(postgres_url: str, template: str) -> Iterator[str]:
    """One ledger; each test has customers of its own."""
    with fresh(postgres_url, template) as url:
        yield url


numbers = itertools.count(1)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    ages=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    limit=st.integers(1, 4),
    happens=st.lists(st.sampled_from(["arrives", "settles", "page"]), max_size=12),
)
def test_a_walk_sees_each_old_topup_once_whatever_happens(
    shared: str, redis_url: str, ages: list[int], limit: int, happens: list[str]
) -> None:
    """Also where many were accepted in the same millisecond; and what is new, at most once."""
    customer_id = f"WALKER-{next(numbers)}"
    old = {next(numbers): AT_MS + age for age in ages}

    async def seen() -> list[str]:
        client, database = connect(redis_url), Database(shared, connections_max=2)
        await database.open()
        books = Books(database)
        await books.book([arrived(customer_id, *one) for one in old.items()], [])
        found: list[str] = []
        async with Open(shared, client) as lists:
            pages = walk(lists, TopupQuery(customer_id=customer_id, limit=limit))
            for step, what in enumerate(happens):
                if what == "page":
                    found += await anext(pages, [])
                elif what == "arrives":
                    new = arrived(customer_id, next(numbers), AT_MS + 1 + step)
                    await books.book([new], [])
                else:
                    number, at_ms = list(old.items())[step % len(old)]
                    end = outcome(number, State.SUCCEEDED)
                    same = arrived(customer_id, number, at_ms)
                    await books.book([], [replace(end, request=same)])
            found += [one async for ids in pages for one in ids]
        await database.close()
        await client.aclose()
        return found

    found = asyncio.run(seen())
    assert len(found) == len(set(found))
    assert {topup_id(number) for number in old} <= set(found)


async def accept(redis: Client, books: Books, customer_id: str, count: int) -> list[str]:
    """Accept and book so many; return their ids, oldest first."""
    topups = Topups(redis, partitions=1, window_ms=60_000)
    await topups.prepare("LATCOM")
    requests = [arrived(customer_id, next(numbers), AT_MS + age) for age in range(count)]
    items = [
        Acceptance(id=one.topup_id, fingerprint="f", key_hash="", body=encode(one.body))
        for one in requests
    ]
    await topups.accept(0, "LATCOM", items, deliver_before_ms=60_000)
    await books.book(requests, [])
    return [one.topup_id for one in requests]


async def test_what_is_open_is_listed_as_it_is_by_now(shared: str, redis: Client) -> None:
    """In flight, parked or settled a moment ago: the books do not know, the records do."""
    async with Open(shared, redis) as lists:
        books = Books(lists._past._database)
        queued, active, waiting, done, lost = await accept(redis, books, "OPEN", 5)
        names = PartitionKeys(0)
        await redis.hset(names.record(active), "state", "active")
        await redis.hset(names.record(waiting), mapping={"state": "waiting", "reason": "no_answer"})
        settled = {"state": "succeeded", "end": str(AT_MS + 9), "ref": "P-1"}
        await redis.hset(names.record(done), mapping=settled)
        await redis.delete(names.record(lost))

        async def listed(status: State | None = None) -> dict[str, Any]:
            asked = TopupQuery(customer_id="OPEN", limit=100, status=status)
            page = await lists.page(asked)
            return {row.topup_id: row for row in page.rows}

        rows = await listed()
        told = {one: (row.status, row.reason) for one, row in rows.items()}
        assert told == {
            lost: ("queued", None),
            done: ("succeeded", None),
            waiting: ("waiting", "no_answer"),
            active: ("active", None),
            queued: ("queued", None),
        }
        assert (rows[done].settled_at_ms, rows[done].provider_reference) == (AT_MS + 9, "P-1")
        assert set(await listed(State.QUEUED)) == {queued, lost}
        assert set(await listed(State.ACTIVE)) == {active}
        assert set(await listed(State.WAITING)) == {waiting}
        assert not await listed(State.SUCCEEDED), "not before it is booked"
        await Lanes(redis, Topups(redis, partitions=1, window_ms=1)).hold(
            "LATCOM", act=act_by("ops", why="strike")
        )
        assert set(await listed(State.WAITING)) == {waiting, queued}
        assert (await listed())[queued].reason == "lane_held"


async def test_open_ones_are_found_among_many_others(shared: str, redis: Client) -> None:
    """Page by page, each once, however far apart they are."""
    async with Open(shared, redis) as lists:
        ids = await accept(redis, Books(lists._past._database), "MANY", 600)
        wanted = ids[::97]
        for one in wanted:
            await redis.hset(PartitionKeys(0).record(one), "state", "active")
        asked = TopupQuery(customer_id="MANY", limit=2, status=State.ACTIVE)
        pages = [page async for page in walk(lists, asked)]
        assert [one for page in pages for one in page] == wanted[::-1]
        assert max(map(len, pages)) == 2


async def test_a_file_has_every_row_of_its_filter(filled: str, redis: Client) -> None:
    """More than any page holds."""
    async with Open(filled, redis) as lists:
        wanted = TopupFilter(customer_id="C1", provider="LATCOM", from_ms=AT_MS + 20_000)
        header, *pieces = [piece async for piece in lists.file(wanted)]
    assert header == HEADER
    lines = b"".join(pieces).splitlines()
    with psycopg.connect(filled) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM topups WHERE customer_id = 'C1' AND provider = 'LATCOM' "
            "AND accepted_at >= 'epoch'::timestamptz + %s * interval '1 ms'",
            [AT_MS + 20_000],
        ).fetchone() or (0,)
    assert len(pieces) > 3
    assert len(set(lines)) == len(lines) == count
