"""A replay of the streams, of a file or of a part of them changes healthy books in nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ledger.audit import Audit
from services.ledger.books import Books
from services.ledger.database import Database
from services.ledger.rehearsal import Rehearsal
from services.ledger.replay import Bookable, Changes, Replay, Wanted
from services.ledger.sheets import read_sheet
from shared.bus.ranges import Stretch, pages
from shared.bus.reader import Entry
from shared.contracts.states import State
from shared.contracts.streams import PartitionKeys, partition_of
from shared.runtime.redis import Client
from tests.integration.ledger.conftest import as_ledger, fresh, opened
from tests.integration.ledger.entries import (
    AT_MS,
    lives,
    outcome_fields,
    request_fields,
    topup_id,
)

pytestmark = pytest.mark.integration

KEYS = PartitionKeys(0)
LANE = KEYS.requests("LATCOM")
ALL = Wanted()
ENDS = (State.SUCCEEDED, State.FAILED, State.UNRESOLVED)


def lane_entry(number: int, **fields: Any) -> Entry:
    """Return a request as it lies on its lane."""
    return Entry(LANE, f"{AT_MS + number}-0", {**request_fields(number, **fields), "key": b""})


def outcome_entry(number: int, state: State, **fields: Any) -> Entry:
    """Return an outcome as it lies on its stream."""
    at_ms = AT_MS + 1_000 * fields.get("seq", 1) + 700_000 * number
    return Entry(KEYS.outcomes, f"{at_ms}-0", outcome_fields(number, state, **fields))


def some(count: int) -> list[Entry]:
    """Return the requests and the outcomes of so many topups; each tenth is still open."""
    ends = [outcome_entry(n, ENDS[n % 3]) for n in range(count) if n % 10]
    resolved = [
        outcome_entry(n, State.FAILED, seq=2)
        for n in range(count)
        if n % 10 and ENDS[n % 3] is State.UNRESOLVED and n % 2
    ]
    return [*map(lane_entry, range(count)), *ends, *resolved]


async def in_pages(entries: Sequence[Entry], *, of: int = 7) -> AsyncIterator[list[Entry]]:
    """Yield entries as a reader does."""
    for start in range(0, len(entries), of):
        yield list(entries[start : start + of])


async def replayed(
    books: Bookable, entries: Sequence[Entry], wanted: Wanted = ALL, *, of: int = 7
) -> Changes:
    """Replay them and return what that changed."""
    changes = Changes()
    await Replay(books, wanted, changes).run(in_pages(entries, of=of))
    return changes


async def book(books: Books, entries: Sequence[Entry]) -> None:
    """Book entries as a ledger does."""
    sheet = read_sheet(entries)
    await books.book(sheet.requests, sheet.outcomes)


async def test_healthy_books_stay_as_they_are(books: Books, database: Database) -> None:
    """Nothing is new, nothing is set aside, and the digest is what it was."""
    entries = some(60)
    await book(books, entries)
    before = await Audit(database).digest()
    assert await replayed(books, entries) == Changes(read=len(entries), wanted=len(entries))
    assert await Audit(database).digest() == before


async def test_emptied_books_are_rebuilt_to_the_digest(
    books: Books, database: Database, postgres_url: str, template: str
) -> None:
    """As many requests and outcomes are new as there are, and the books are sound."""
    entries = some(60)
    await book(books, entries)
    with fresh(postgres_url, template) as url:
        async with opened(as_ledger(url), connections_max=3) as empty:
            changes = await replayed(Books(empty), entries)
            assert (changes.requests, changes.outcomes) == (60, len(entries) - 60)
            assert changes.set_aside == 0
            assert await Audit(empty).digest() == await Audit(database).digest()
            assert [check for check in await Audit(empty).verify() if check.broken] == []


async def test_replays_and_ledgers_at_once_book_each_entry_once(
    books: Books, database: Database
) -> None:
    """Three replays and a ledger, each with all of it; nobody waits for another for ever."""
    entries = some(60)
    turns = [entries[turn:] + entries[:turn] for turn in (0, 20, 40)]
    batches = [entries[start : start + 16] for start in range(0, len(entries), 16)]
    *changes, _ = await asyncio.gather(
        *(replayed(books, turn) for turn in turns), *(book(books, batch) for batch in batches)
    )
    assert sum(one.requests for one in changes[:3] if isinstance(one, Changes)) <= 60
    assert [check for check in await Audit(database).verify() if check.broken] == []
    assert await replayed(books, entries) == Changes(read=len(entries), wanted=len(entries))


async def test_an_interrupted_replay_is_run_again(books: Books, database: Database) -> None:
    """What it had booked stays; the second run books the rest."""
    entries = some(60)

    async def breaks_off() -> AsyncIterator[list[Entry]]:
        async for page in in_pages(entries[: len(entries) // 2]):
            yield page
        raise asyncio.CancelledError

    changes = Changes()
    with pytest.raises(asyncio.CancelledError):
        await Replay(books, Wanted(), changes).run(breaks_off())
    assert [check for check in await Audit(database).verify() if check.broken] == []
    again = await replayed(books, entries)
    assert 0 < again.requests + again.outcomes < len(entries)
    assert again.requests + changes.requests <= 60
    assert await replayed(books, entries) == Changes(read=len(entries), wanted=len(entries))


@pytest.fixture(scope="module")
def unused(postgres_url: str, template: str) -> tuple[str, str]:
    """Where fresh ledgers are made, for tests that need many."""
    return postgres_url, template


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(),
    told=st.lists(lives(), min_size=1, max_size=6),
    of=st.integers(1, 9),
)
def test_a_dry_run_says_what_a_run_does(
    unused: tuple[str, str], data: st.DataObject, told: list[Any], of: int
) -> None:
    """Whatever is booked before, repeated or contradicts the books; and it changes nothing."""
    entries = [
        entry
        for number, life in enumerate(told)
        for entry in (
            lane_entry(number, amount_minor=life.amount_minor),
            *(
                outcome_entry(number, state, seq=seq, amount_minor=life.amount_minor)
                for seq, state in enumerate(life.states, 1)
            ),
        )
    ]
    others = [lane_entry(n, amount_minor=7) for n in range(len(told))]
    others += [
        outcome_entry(n, State.FAILED, amount_minor=life.amount_minor)
        for n, life in enumerate(told)
    ]
    known = data.draw(st.lists(st.sampled_from(entries + others), max_size=6))
    given = data.draw(
        st.permutations(entries + data.draw(st.lists(st.sampled_from(others), max_size=4)))
    )

    async def compare() -> None:
        with fresh(*unused) as url:
            async with opened(as_ledger(url), connections_max=3) as database:
                books, audit = Books(database), Audit(database)
                await book(books, known)
                before = await audit.digest(), await _count(url, "set_aside")
                async with Rehearsal.on(database) as rehearsal:
                    said = [await replayed(rehearsal, given, of=of) for _ in range(2)]
                assert (await audit.digest(), await _count(url, "set_aside")) == before
                done = [await replayed(books, given, of=of) for _ in range(2)]
                assert said == done

    asyncio.run(compare())


async def test_the_database_itself_keeps_a_dry_run_from_the_books(database: Database) -> None:
    """Its session is read-only: only its own copies can be written."""
    async with Rehearsal.on(database) as rehearsal, rehearsal.connection() as session:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await session.execute("INSERT INTO public.totals VALUES (now(), 'k', 'MXN', 1, 1)")
        await session.execute("INSERT INTO totals VALUES (now(), 'k', 'MXN', 1, 1)")


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Wanted(topup_id=topup_id(4)), {4}),
        (Wanted(customer_id="C2"), {2, 5, 8}),
        (Wanted(provider="LATCOM"), set(range(10))),
        (Wanted(provider="OTHER"), set()),
        (Wanted(topup_id=topup_id(4), customer_id="C1", provider="LATCOM"), {4}),
        (Wanted(topup_id=topup_id(4), customer_id="C2"), set()),
    ],
)
async def test_only_what_is_asked_for_is_booked(
    books: Books, ledger_url: str, wanted: Wanted, numbers: set[int]
) -> None:
    """All filters that are given must fit; an entry that nobody can read fits no customer."""
    entries = [*some(10), Entry(LANE, "1-0", {"id": b"?"})]
    changes = await replayed(books, entries, wanted)
    assert changes.read == len(entries)
    assert changes.unreadable == 0
    async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
        rows = await (await connection.execute("SELECT topup_id::text FROM topups")).fetchall()
    assert {found for (found,) in rows} == {topup_id(number) for number in numbers}
    assert changes.requests == len(numbers)


async def test_what_nobody_can_book_is_told_and_stops_nobody(books: Books) -> None:
    """Neither what cannot be read, nor what the database refuses."""
    refused = lane_entry(1)
    refused.fields["body"] = refused.fields["body"].replace(b"XOOM_10_MXN", b"\\u0000")
    changes = await replayed(books, [lane_entry(0), refused, Entry(LANE, "7-0", {}), lane_entry(2)])
    assert (changes.requests, changes.unreadable) == (2, 2)
    assert changes.example is not None
    assert changes.example.startswith(LANE)


async def test_a_known_outcome_of_another_request_is_set_aside(books: Books) -> None:
    """It says the same of the end, and something else of what was asked for: people look at it."""
    known = outcome_entry(1, State.SUCCEEDED)
    other = outcome_entry(1, State.SUCCEEDED, amount_minor=7)
    await book(books, [known])
    assert (await replayed(books, [known, other])).set_aside == 1
    assert (await replayed(books, [known, other])).set_aside == 0


async def test_a_stretch_of_all_streams_is_read_beside_the_groups(redis: Client) -> None:
    """Every partition, lanes and outcomes, from end to end of it; no group is touched or made."""
    names = [PartitionKeys(0), PartitionKeys(1)]
    for number in range(20):
        for name in names:
            await redis.xadd(name.outcomes, {"n": number}, id=f"{1_000 + number}-1")
            await redis.xadd(name.requests("LATCOM"), {"n": number}, id=f"{1_000 + number}-1")
    streams = list(Wanted().streams(2, ["LATCOM"]))
    found = [
        entry
        async for page in pages(redis, streams, Stretch("1005-0", "1014-9"), count_max=3)
        for entry in page
    ]
    assert len(found) == 4 * 10
    assert {entry.stream for entry in found} == set(streams)
    assert {entry.id for entry in found} == {f"{1_000 + n}-1" for n in range(5, 15)}
    assert await redis.xinfo_groups(streams[0]) == []
    none = [page async for page in pages(redis, ["missing"], Stretch(), count_max=3)]
    assert none == []


async def test_what_comes_during_a_replay_is_left_to_the_ledgers(redis: Client) -> None:
    """A busy stream has an end for it."""
    seen = 0
    await redis.xadd("busy", {"n": 0})
    async for page in pages(redis, ["busy"], Stretch(), count_max=1):
        seen += len(page)
        await redis.xadd("busy", {"n": seen})
    assert seen == 1


def test_a_customer_is_looked_for_in_its_own_partition() -> None:
    """And a provider on its own lane."""
    keys = PartitionKeys(partition_of("C1", 8))
    wanted = Wanted(customer_id="C1", provider="LATCOM")
    assert list(wanted.streams(8, ["LATCOM", "OTHER"])) == [keys.outcomes, keys.requests("LATCOM")]
    assert len(list(Wanted().streams(8, ["LATCOM", "OTHER"]))) == 8 * 3


async def _count(url: str, table: str) -> int:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute(f"SELECT count(*) FROM {table}".encode())).fetchone()
    assert row is not None
    return int(row[0])
