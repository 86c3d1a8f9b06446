"""Books of many topups, written with COPY: the same for the same seed.

500 customers sell by Zipf's law, each to phones of its own of which a few buy often, over 400 days
with more sales towards the end and by day than by night. Rows are what the ledger itself writes.
"""

import datetime as dt
import math
import random
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from typing import Any, Final

import msgspec
import psycopg

from services.ledger.migrations import Migration, migrate, shipped
from services.ledger.rules import HOLD, POSTINGS
from shared.contracts.states import State

CUSTOMERS: Final = 500
DAYS: Final = 400
DAY_MS: Final = 86_400_000
FIRST_MS: Final = 1_760_000_000_000 // DAY_MS * DAY_MS
CHUNK: Final = 50_000
GROWTH: Final = 0.7
NIGHT: Final = 0.13
OPEN: Final = 1_000
"""The last of them have not ended."""

PROVIDERS: Final = ("LATCOM",) * 17 + ("RELOADLY",) * 2 + ("DTONE",)
AMOUNTS: Final = (1_000, 2_000, 3_000, 5_000, 10_000, 15_000, 20_000, 50_000)
ENDS: Final = (
    (0.96, (State.SUCCEEDED,)),
    (0.9955, (State.FAILED,)),
    (0.9995, (State.UNRESOLVED, State.SUCCEEDED)),
    (1.0, (State.UNRESOLVED,)),
)
TOPUPS: Final = """
    COPY topups (topup_id, customer_id, phone, country, amount_minor, currency, provider, product,
                 reference, accepted_at, digest, status, reason, provider_reference, settled_at,
                 seq) FROM STDIN
"""
OUTCOMES: Final = """
    COPY outcomes (topup_id, seq, state, reason, provider_reference, evidence, settled_at, entry,
                   digest) FROM STDIN
"""
MOVES: Final = (
    "COPY postings (topup_id, seq, line, debit, credit, currency, amount_minor) FROM STDIN"
)
PEOPLE: Final = """
    WITH new AS (
        INSERT INTO customers (customer_id, merchant)
        SELECT name, lower(name) FROM unnest(%(customers)s::text[]) AS name
        RETURNING customer_id
    )
    INSERT INTO api_keys (sha256, prefix, customer_id)
    SELECT encode(sha256((customer_id || n)::bytea), 'hex'), 'tk_', customer_id
    FROM new CROSS JOIN generate_series(1, 2) AS n
"""
TOTALS: Final = """
    INSERT INTO totals
    WITH counted AS (
        SELECT accepted_at AS at, 'accepted' AS kind, currency, amount_minor FROM topups
        UNION ALL
        SELECT outcomes.settled_at, state, currency, amount_minor
        FROM outcomes JOIN topups USING (topup_id)
        UNION ALL
        SELECT outcomes.settled_at, 'resolved', currency, amount_minor
        FROM outcomes JOIN topups USING (topup_id) WHERE outcomes.seq > 1
    ), quarters AS (
        SELECT date_bin('15 minutes', at, 'epoch') AS quarter, kind, currency,
               count(*) AS transactions, sum(amount_minor) AS amount_minor
        FROM counted GROUP BY 1, 2, 3
    )
    SELECT * FROM quarters
    UNION ALL
    SELECT 'epoch', kind, currency, sum(transactions), sum(amount_minor)
    FROM quarters GROUP BY kind, currency
"""


class Made(msgspec.Struct):
    """A chunk, as lines of the three tables."""

    topups: list[str] = []
    outcomes: list[str] = []
    moves: list[str] = []


class Generator:
    """Draws topups in the order of time."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._random = random.Random(seed)
        weights = [1 / rank for rank in range(1, CUSTOMERS + 1)]
        self._shares = list(accumulate(weights))
        self._ranks = range(CUSTOMERS)

    def chunks(self) -> Iterator[Made]:
        """Yield all of them."""
        for first in range(0, self._count, CHUNK):
            made, size = Made(), min(CHUNK, self._count - first)
            ranks = self._random.choices(self._ranks, cum_weights=self._shares, k=size)
            for number, rank in enumerate(ranks, first):
                self._draw(made, number, rank)
            yield made

    def _draw(self, made: Made, number: int, rank: int) -> None:
        chance = self._random.random
        at_ms = moment_ms(number / self._count)
        bits = self._random.getrandbits(74)
        topup_id = uuid7(at_ms, bits)
        phones = 20 + 200_000 // (rank + 1)
        phone = 5_500_000_000 + rank * 200_000 + int(phones * chance() ** 3)
        amount = AMOUNTS[int(8 * chance() ** 2)]
        provider = PROVIDERS[int(20 * chance())]
        states: tuple[State, ...] = ()
        if number < self._count - OPEN:
            drawn = chance()
            states = next(states for most, states in ENDS if drawn < most)
        for line, move in enumerate(HOLD, 1):
            made.moves.append(
                f"{topup_id}\t0\t{line}\t{move.debit}\t{move.credit}\tMXN\t{amount}\n"
            )
        told, reason, settled = "\\N", "\\N", "\\N"
        for seq, state in enumerate(states, 1):
            end_ms = at_ms + 40 + int(7_000 * chance()) + (seq - 1) * DAY_MS // 3
            settled = timestamp(end_ms)
            told = f"{bits:020}"
            reason = "\\N" if state == State.SUCCEEDED else "refused"
            if state == State.UNRESOLVED:
                reason = "no_answer"
            evidence = (
                f'{{"provider_reference":"{told}","code":"0","raw":{{"status":"Success","transId":'
                f'"{told}","venTransid":"V{told}","vendorResponseCode":"0"}},"by":"d-1","attempt":1}}'
            )
            made.outcomes.append(
                f"{topup_id}\t{seq}\t{state.value}\t{reason}\t{told}\t{evidence}\t{settled}\t"
                f"{end_ms}-0\t\\\\x{bits + seq:032x}\n"
            )
            for line, move in enumerate(POSTINGS[seq, state], 1):
                made.moves.append(
                    f"{topup_id}\t{seq}\t{line}\t{move.debit}\t{move.credit}\tMXN\t{amount}\n"
                )
        status = states[-1].value if states else State.QUEUED.value
        made.topups.append(
            f"{topup_id}\t{customer(rank)}\t+52{phone}\tMX\t{amount}\tMXN\t{provider}\t"
            f"TFE_MXN_20_TO_2000\torder-{number}\t{timestamp(at_ms)}\t\\\\x{bits:032x}\t{status}\t"
            f"{reason}\t{told}\t{settled}\t{len(states)}\n"
        )


def customer(rank: int) -> str:
    """Name the customer with so many larger ones."""
    return f"CUSTOMER_{rank:03}"


def moment_ms(share: float) -> int:
    """Return when so large a share of all topups was sold."""
    days = DAYS * share**GROWTH
    day, passed = int(days), days % 1
    return FIRST_MS + int((day + passed - NIGHT * math.sin(2 * math.pi * passed)) * DAY_MS)


def uuid7(at_ms: int, bits: int) -> str:
    """Return an id as the gateways draw them."""
    text = f"{at_ms:012x}7{bits >> 62:03x}{0x8 | (bits >> 60 & 3):x}{bits & (1 << 60) - 1:015x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def timestamp(at_ms: int) -> str:
    """Write a moment as PostgreSQL reads it."""
    day_ms = at_ms // DAY_MS * DAY_MS
    seconds, ms = divmod(at_ms - day_ms, 1_000)
    hours, minutes = seconds // 3_600, seconds // 60 % 60
    return f"{_date(day_ms)} {hours:02}:{minutes:02}:{seconds % 60:02}.{ms:03}Z"


@cache
def _date(day_ms: int) -> str:
    return dt.datetime.fromtimestamp(day_ms / 1_000, dt.UTC).strftime("%Y-%m-%d")


def fill(url: str, *, count: int, seed: int) -> None:
    """Migrate an empty database and fill it; indexes for lists are built afterwards, at once."""
    tables, indexes = _apart(shipped())
    migrate(url, tables, say=lambda _text: None)
    with psycopg.connect(url) as connection:
        add_customers(connection)
        for number, made in enumerate(Generator(count, seed).chunks(), 1):
            copy_in(connection, made)
            connection.commit()
            if number % 20 == 0:
                print(f"  {min(number * CHUNK, count):,} topups", flush=True)
    migrate(_with_memory(url), indexes, say=lambda text: print(f"  {text}", flush=True))
    with psycopg.connect(_with_memory(url), autocommit=True) as connection:
        connection.execute(TOTALS)
        connection.execute("VACUUM ANALYZE")


def add_customers(connection: psycopg.Connection[Any]) -> None:
    """Give every customer two keys."""
    connection.execute(PEOPLE, {"customers": [customer(rank) for rank in range(CUSTOMERS)]})


def copy_in(connection: psycopg.Connection[Any], made: Made) -> None:
    """Write a chunk."""
    tables = ((TOPUPS, made.topups), (OUTCOMES, made.outcomes), (MOVES, made.moves))
    for statement, lines in tables:
        with connection.cursor().copy(statement.encode()) as copy:
            copy.write("".join(lines))


def _apart(migrations: list[Migration]) -> tuple[list[Migration], list[Migration]]:
    """Return what makes the tables, and everything: the rest builds indexes on what is there."""
    first = next(n for n, one in enumerate(migrations) if one.text.startswith("-- no transaction"))
    return migrations[:first], migrations


def _with_memory(url: str) -> str:
    return f"{url}?options=-c%20maintenance_work_mem%3D1GB%20-c%20work_mem%3D256MB"
