"""`make bench-ledger`: a ledger of ten million topups, asked through its own code.

COUNT=10000000 SEED=1 KEEP=folder: with KEEP the books stay there, and are found again.
"""

import os
import random
import re
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import psycopg
import uvloop

from bench.ledger_fill import customer, fill
from bench.offer import percentiles
from ops.embedded import Running, valkey_server
from services.ledger.books import Books
from services.ledger.changes import Changes
from services.ledger.database import Database
from services.ledger.entries import Outcome, Request, outcome_digest, request_digest
from services.ledger.keys import Keys
from services.ledger.lists import Lists
from services.ledger.store import Past
from shared.bus.topups import Topups
from shared.contracts.events import Evidence, TopupRequested, encode
from shared.contracts.peers import TopupFilter, TopupPage, TopupQuery
from shared.contracts.states import State
from shared.runtime.clock import SystemClock
from shared.runtime.redis import Client, connect
from tests.vouching import vouch_for

BYTES_EACH: Final = 2_800
"""Disk for a topup with its outcome, postings, indexes, and the log that is written meanwhile."""

ASKED: Final = 2_000
LIMIT: Final = 50
WALK: Final = 1_000
ROWS: Final = 100_000
BATCH: Final = 256
WRITTEN: Final = 40_000
DAY_MS: Final = 86_400_000
_ANONYMOUS: Final = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)

SAMPLE: Final = """
    SELECT topup_id::text, customer_id, phone, provider, status,
           (extract(epoch FROM accepted_at) * 1000)::bigint
    FROM topups TABLESAMPLE BERNOULLI (%s) REPEATABLE (1)
"""

Row = tuple[str, str, str, str, str, int]
"""Id, customer, phone, provider, status, and when it was accepted."""


class Ledger:
    """The ledger's own parts on books that are there."""

    def __init__(self, url: str, client: Client, seed: int) -> None:
        clock = SystemClock()
        self.database = Database(url, connections_max=4)
        self.past = Past(self.database, clock, timezone="America/Mexico_City")
        self.lists = Lists(self.past, Topups(client, partitions=1, window_ms=60_000))
        self.keys = Keys(Changes(self.database, client))
        self.books = Books(self.database)
        self.random = random.Random(seed)

    async def sample(self, count: int, of: int) -> list[Row]:
        """Return about so many topups, drawn from all of them."""
        percent = min(100.0, 110.0 * count / of)
        async with self.database.session() as connection:
            found = await connection.execute(SAMPLE, [percent])
            rows: list[Row] = await found.fetchall()
        self.random.shuffle(rows)
        return rows[:count]


async def times_ms(asks: Sequence[Callable[[], Awaitable[object]]]) -> list[float]:
    """Do one after the other; return their percentiles."""
    took = []
    for ask in asks:
        started = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - started) * 1_000)
    return percentiles(took)


def say(what: str, ms: Sequence[float], wanted: str) -> None:
    """Print one line of the table."""
    print(f"| {what} | {ms[49]:.2f} | {ms[98]:.2f} | {ms[-1]:.1f} | {wanted} |", flush=True)


async def ask_all(ledger: Ledger, count: int) -> None:
    """Print how long each question takes."""
    rows = await ledger.sample(ASKED, count)
    print("| question | p50 ms | p99 ms | max ms | wanted p99 |")
    print("| --- | --- | --- | --- | --- |")
    past, lists = ledger.past, ledger.lists
    by_id = [lambda r=row: past.topup(r[0], customer_id=r[1]) for row in rows]
    say("status by id", await times_ms(by_id), "3 ms")
    newest = [lambda r=row: lists.page(TopupQuery(customer_id=r[1], limit=LIMIT)) for row in rows]
    say("a customer's newest page", await times_ms(newest), "5 ms")
    for name, query in FILTERS.items():
        asks = [
            lambda r=row, q=query: lists.page(TopupQuery(limit=LIMIT, **q(r, ledger.random)))
            for row in rows[: ASKED // 4]
        ]
        say(name, await times_ms(asks), "20 ms")
    await walk(ledger)
    say("metrics", await times_ms([past.totals] * 200), "10 ms")
    say("all keys (500 customers, 1,000 keys)", await times_ms([ledger.keys.snapshot] * 200), "")


Filter = Callable[[Row, random.Random], dict[str, Any]]


def _whose(row: Row, _chance: random.Random) -> dict[str, Any]:
    return {"customer_id": row[1]}


def _range(days: int) -> Filter:
    def wanted(row: Row, chance: random.Random) -> dict[str, Any]:
        from_ms = row[5] - int(chance.random() * days * DAY_MS)
        return {"from_ms": from_ms, "to_ms": from_ms + days * DAY_MS}

    return wanted


def _all_of(*parts: Filter) -> Filter:
    def wanted(row: Row, chance: random.Random) -> dict[str, Any]:
        found = _whose(row, chance)
        for part in parts:
            found |= part(row, chance)
        return found

    return wanted


def _any(row: Row, chance: random.Random) -> dict[str, Any]:
    parts = [_STATUS, _PROVIDER, _PHONE, _RARE, _range(1), _range(30), _range(365)]
    return _all_of(*chance.sample(parts, chance.randint(1, 4)))(row, chance)


_STATUS: Final[Filter] = lambda row, _: {"status": State(row[4])}  # noqa: E731 - a table of them
_RARE: Final[Filter] = lambda _, chance: {"status": chance.choice([*State])}  # noqa: E731
_PROVIDER: Final[Filter] = lambda row, _: {"provider": row[3]}  # noqa: E731
_PHONE: Final[Filter] = lambda row, _: {"phone": row[2]}  # noqa: E731
FILTERS: Final[dict[str, Filter]] = {
    "by phone": _all_of(_PHONE),
    "by status, any": _all_of(_RARE),
    "by provider": _all_of(_PROVIDER),
    "by provider and status, any": _all_of(_PROVIDER, _RARE),
    "by phone, provider and status, any": _all_of(_PHONE, _PROVIDER, _RARE),
    "of a day": _all_of(_range(1)),
    "of a month, by status, any": _all_of(_RARE, _range(30)),
    "of a year, by provider and status, any": _all_of(_PROVIDER, _RARE, _range(365)),
    "any filters and dates, drawn": _any,
}


async def walk(ledger: Ledger) -> None:
    """Compare the first pages of the largest customer with those a thousand further on."""
    query, took = TopupQuery(customer_id=customer(0), limit=LIMIT), list[float]()
    while len(took) < WALK + LIMIT:
        started = time.perf_counter()
        page: TopupPage = await ledger.lists.page(query)
        took.append((time.perf_counter() - started) * 1_000)
        if page.next is None:
            break
        query = msgspec.structs.replace(
            query, after_ms=page.next.at_ms, after_id=page.next.topup_id
        )
    say(f"the first {LIMIT} pages", percentiles(took[:LIMIT]), "")
    say(f"pages {len(took) - LIMIT:,} to {len(took):,}", percentiles(took[-LIMIT:]), "the same")


async def stream(ledger: Ledger) -> None:
    """Write a file of many rows, and watch what the process holds."""
    rows, held, started = 0, list[float](), time.perf_counter()
    async for chunk in ledger.lists.file(TopupFilter(customer_id=customer(0))):
        rows += chunk.count(b"\n")
        held.append(_anonymous_mb())
        if rows > ROWS:
            break
    passed = time.perf_counter() - started
    print(
        f"\nCSV: {rows:,} rows at {rows / passed:,.0f} rows/s (wanted 50,000); the process holds "
        f"{held[len(held) // 10]:.1f} MB after a tenth, {max(held):.1f} MB at most."
    )


async def write(ledger: Ledger) -> None:
    """Book requests and then their outcomes, as they come from the streams."""
    now_ms, spent = int(time.time() * 1_000), {"requests": 0.0, "outcomes": 0.0}
    for start in range(0, WRITTEN, BATCH):
        requests = [_request(ledger, now_ms + number) for number in range(start, start + BATCH)]
        for kind, batch in (("requests", (requests, [])), ("outcomes", ([], _paid(requests)))):
            started = time.perf_counter()
            await ledger.books.book(*batch)
            spent[kind] += time.perf_counter() - started
    rates = ", ".join(f"{WRITTEN / took:,.0f} {kind}/s" for kind, took in spent.items())
    both = WRITTEN / sum(spent.values())
    print(
        f"\nBooking in batches of {BATCH}: {rates}; {both:,.0f} whole topups/s, each five rows "
        f"({5 * both:,.0f} rows/s, wanted 5,000)."
    )


def _request(ledger: Ledger, at_ms: int) -> Request:
    chance = ledger.random
    body = TopupRequested(
        customer_id=customer(int(500 * chance.random() ** 3)),
        phone=f"+52{5_500_000_000 + chance.randrange(10**8)}",
        country="MX",
        amount_minor=1_000,
        currency="MXN",
        provider="LATCOM",
        product="XOOM_10_MXN",
        reference=f"late-{chance.getrandbits(40)}",
    )
    raw = encode(body)
    topup_id = f"{at_ms:012x}7{chance.getrandbits(12):03x}8{chance.getrandbits(60):015x}"
    parts = (topup_id[:8], topup_id[8:12], topup_id[12:16], topup_id[16:20], topup_id[20:])
    return Request(
        topup_id="-".join(parts),
        body=body,
        raw=raw,
        accepted_at_ms=at_ms,
        digest=request_digest(raw, at_ms),
    )


def _paid(requests: Sequence[Request]) -> list[Outcome]:
    evidence = Evidence(provider_reference="1", code="0", raw={"status": "Success"}, attempt=1)
    raw, found = encode(evidence), list[Outcome]()
    for request in requests:
        at_ms = request.accepted_at_ms + 50
        found.append(
            Outcome(
                request=request,
                seq=1,
                state=State.SUCCEEDED,
                reason=None,
                evidence=evidence,
                raw_evidence=raw,
                raw_tries=b"",
                settled_at_ms=at_ms,
                entry=f"{at_ms}-0",
                digest=outcome_digest("succeeded", "", raw, b"", b""),
            )
        )
    return found


def _anonymous_mb() -> float:
    found = _ANONYMOUS.search(Path("/proc/self/status").read_text())
    return int(found[1]) / 1_024 if found else 0.0


async def measure(url: str, redis_url: str, *, count: int, seed: int) -> None:
    """Ask, stream and write."""
    client = connect(redis_url)
    ledger = Ledger(url, client, seed)
    await ledger.database.open()
    try:
        await ask_all(ledger, count)
        await stream(ledger)
        await write(ledger)
    finally:
        await ledger.database.close()
        await client.aclose()


def main() -> None:
    """Fill if need be, then measure."""
    count, seed = int(os.environ.get("COUNT") or 10_000_000), int(os.environ.get("SEED") or 1)
    keep = os.environ.get("KEEP")
    with TemporaryDirectory(prefix="topup-bench-") as name:
        folder = Path(keep or name)
        folder.mkdir(parents=True, exist_ok=True)
        free = disk_usage(folder).free
        done = folder / f"filled-{count}-{seed}"
        if not done.exists() and free < count * BYTES_EACH:
            sys.exit(f"{count:,} topups need {count * BYTES_EACH / 1e9:.0f} GB; for example COUNT="
                     f"{free // BYTES_EACH // 10**6 * 10**6}")  # fmt: skip
        postgres = Running.postgres(folder / "postgres")
        try:
            if not done.exists():
                started = time.monotonic()
                fill(postgres.url, count=count, seed=seed)
                done.touch()
                print(
                    f"{count:,} topups of seed {seed} written in {time.monotonic() - started:.0f} s"
                )
            with psycopg.connect(postgres.url) as connection:
                size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            print(f"{size[0] / 1e9 if size else 0:.1f} GB of data and indexes\n", flush=True)
            with valkey_server(Path(name) / "valkey") as redis_url:
                vouch_for(redis_url, partitions=1)
                uvloop.run(measure(postgres.url, redis_url, count=count, seed=seed))
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
