"""What each of four independent witnesses says: merchant, provider, PostgreSQL, streams."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg
from redis import Redis
from redis.cluster import ClusterNode, RedisCluster

from tests.chaos.merchant import Line, Sale

PREFIX: Final = "topup:{0}:"
LANE: Final = f"{PREFIX}requests:LATCOM"
OUTCOMES: Final = f"{PREFIX}outcomes"
PAGE: Final = 1_000
Client = Any
"""redis-py's own types make each reply a union of everything it may be."""


class Told(msgspec.Struct, kw_only=True):
    """What the merchant heard of one sale."""

    sale: Sale
    ids: list[str] = []
    refused: bool = False
    asked: int = 0
    states: list[str] = []  # in the order in which they were heard
    at_last: str | None = None  # when everything was at rest


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider did under one topup's references."""

    asked: int
    paid: int
    refused: int
    amount_cents: int


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """What PostgreSQL has of one topup; `balance` is what its postings come to, by account."""

    key: str | None  # the merchant's name for it
    amount_minor: int
    status: str
    outcomes: list[tuple[int, str, str | None]]
    balance: dict[str, int]
    provider: str  # who was paid; AUTO: of several, nobody knows which


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """What Valkey has: records' states, entries, and what is still open at rest."""

    records: dict[str, str]
    requested: set[str]
    outcomes: dict[str, list[str]]
    counters: dict[str, int]
    pending: dict[str, int]
    parked: list[str]
    lanes: dict[str, dict[str, Any]]
    dead: list[dict[str, str]]
    settled_ms: dict[str, int]
    accepted_ms: dict[str, int]


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """All four, and how soon a topup may expire."""

    merchant: dict[str, Told]
    providers: dict[str, dict[str, Paid]]
    ledger: dict[str, Booked]
    streams: Streams
    deadline_ms: int

    def asked(self, topup_id: str) -> dict[str, Paid]:
        """Return what each provider that was asked for the topup did, by its name."""
        books = self.providers.items()
        return {name: book[topup_id] for name, book in books if topup_id in book}


def merchant_says(sold: Iterable[Sale], lines: Iterable[Line]) -> dict[str, Told]:
    """Return what was heard of each sale, by key."""
    told = {sale.key: Told(sale=sale) for sale in sold}
    for line in lines:
        heard = told[line.key]
        if line.what == "asked":
            heard.asked += 1
        elif line.what in ("answered", "watched"):
            if line.topup_id is None:
                heard.refused = True
            elif line.topup_id not in heard.ids:
                heard.ids.append(line.topup_id)
            if line.state is not None:
                heard.states.append(line.state)
    return told


def providers_say(books: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Paid]]:
    """Return each book by our topups."""
    return {
        name: {
            topup_id: Paid(
                asked=entry["asked"],
                paid=entry["paid"],
                refused=entry["refused"],
                amount_cents=round(float(entry["amount"]) * 100),
            )
            for topup_id, entry in book["references"].items()
        }
        for name, book in books.items()
    }


def ledger_says(url: str) -> dict[str, Booked]:
    """Return every topup in the books, by id."""
    with psycopg.connect(url) as connection:
        outcomes: dict[str, list[tuple[int, str, str | None]]] = {}
        for topup_id, *outcome in connection.execute(
            "SELECT topup_id::text, seq, state, reason FROM outcomes ORDER BY topup_id, seq"
        ):
            outcomes.setdefault(topup_id, []).append((outcome[0], outcome[1], outcome[2]))
        balances: dict[str, dict[str, int]] = {}
        for topup_id, debit, credit, amount in connection.execute(
            "SELECT topup_id::text, debit, credit, amount_minor FROM postings"
        ):
            balance = balances.setdefault(topup_id, {})
            balance[debit] = balance.get(debit, 0) - amount
            balance[credit] = balance.get(credit, 0) + amount
        return {
            topup_id: Booked(
                key=key,
                amount_minor=amount,
                status=status,
                outcomes=outcomes.get(topup_id, []),
                balance={name: net for name, net in balances.get(topup_id, {}).items() if net},
                provider=provider,
            )
            for topup_id, key, amount, status, provider in connection.execute(
                "SELECT topup_id::text, coalesce(reference, metadata->>'sale'),"
                " amount_minor, status, provider FROM topups"
            )
        }


def streams_say(url: str) -> Streams:
    """Return what Valkey has, in all partitions."""
    client = open_valkey(url)
    prefixes = prefixes_of(client)
    requested: set[str] = set()
    accepted_ms: dict[str, int] = {}
    for lane in lanes_of(prefixes):
        for entry, fields in entries(client, lane):
            requested.add(fields["id"])
            accepted_ms[fields["id"]] = int(fields.get("at") or entry.partition("-")[0])
    outcomes: dict[str, list[str]] = {}
    settled_ms: dict[str, int] = {}
    for stream in outcomes_of(prefixes):
        for entry, fields in entries(client, stream):
            outcomes.setdefault(fields["id"], []).append(fields["state"])
            settled_ms.setdefault(fields["id"], int(entry.partition("-")[0]))
    keys = list(client.scan_iter("topup:{*}:record:*", count=PAGE))
    found = Streams(
        records={
            key.rpartition(":")[2]: state
            for key, state in zip(keys, _states(client, keys), strict=True)
            if state is not None  # else it has expired since
        },
        requested=requested,
        outcomes=outcomes,
        counters=_counters(client, prefixes),
        pending=_pending(client),
        parked=[one for prefix in prefixes for one in client.zrange(f"{prefix}waiting", 0, -1)],
        lanes={
            f"{prefix}{name}": msgspec.json.decode(lane)
            for prefix in prefixes
            for name, lane in client.hgetall(f"{prefix}lanes").items()
        },
        dead=[fields for prefix in prefixes for _, fields in entries(client, f"{prefix}dead")],
        settled_ms=settled_ms,
        accepted_ms=accepted_ms,
    )
    client.close()
    return found


def pending_says(url: str) -> dict[str, int]:
    """Return how many entries each group has not acknowledged, or not read yet."""
    client = open_valkey(url)
    found = _pending(client)
    client.close()
    return found


def open_valkey(url: str) -> Client:
    """Return a client that gives text; of a cluster redis-py's own, which is not ours."""
    text: dict[str, Any] = {"decode_responses": True, "encoding_errors": "surrogateescape"}
    scheme, _, rest = url.partition("://")
    if not scheme.endswith("+cluster"):
        return Redis.from_url(url, **text)
    access, _, places = rest.rpartition("@")
    nodes = [ClusterNode(*place.split(":")) for place in places.split(",")]  # type: ignore[no-untyped-call]
    return RedisCluster(startup_nodes=nodes, password=access.lstrip(":"), **text)


def prefixes_of(client: Client) -> list[str]:
    """Return what the keys of each partition begin with."""
    partitions = client.hget(f"{PREFIX}meta", "partitions") or 1
    return [PREFIX.replace("0", str(partition)) for partition in range(int(partitions))]


def lanes_of(prefixes: Iterable[str]) -> list[str]:
    """Return the lanes of all partitions."""
    return [f"{prefix}requests:{name}" for prefix in prefixes for name in ("LATCOM", "RELOADLY")]


def outcomes_of(prefixes: Iterable[str]) -> list[str]:
    """Return the outcomes of all partitions."""
    return [f"{prefix}outcomes" for prefix in prefixes]


def entries(
    client: Client, stream: str, *, after: str = "-"
) -> Iterable[tuple[str, dict[str, str]]]:
    """Yield all of a stream, a page at a time; `after`: from there on, `(id` without it."""
    while page := client.xrange(stream, after, "+", count=PAGE):
        yield from page
        after = f"({page[-1][0]}"


def _counters(client: Client, prefixes: Iterable[str]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for prefix in prefixes:
        found = client.hgetall(f"{prefix}counters")
        total.update({name: int(count) for name, count in found.items()})
    return dict(total)


def _pending(client: Client) -> dict[str, int]:
    prefixes = prefixes_of(client)
    return {
        f"{stream} {group['name']}": group["pending"] + (group["lag"] or 0)
        for stream in [*lanes_of(prefixes), *outcomes_of(prefixes)]
        if client.exists(stream)
        for group in client.xinfo_groups(stream)
    }


def _states(client: Client, keys: Sequence[str]) -> list[str | None]:
    states: list[str | None] = []
    for start in range(0, len(keys), PAGE):
        pipe = client.pipeline(transaction=False)
        for key in keys[start : start + PAGE]:
            pipe.hget(key, "state")
        states += pipe.execute()
    return states
