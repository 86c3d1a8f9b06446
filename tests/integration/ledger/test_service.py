"""A ledger as a process: it books what is on the streams, whatever is there and whoever dies."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis import Redis

from ops.embedded import Running
from ops.ports import free_port
from services.ledger.migrations import migrate, shipped
from shared.contracts.states import State
from shared.contracts.streams import LEDGER_GROUP, PartitionKeys
from tests.integration.ledger.entries import outcome_fields, request_fields, topup_id
from tests.rights import as_service

pytestmark = pytest.mark.integration

KEYS = PartitionKeys(0)
LANE = KEYS.requests("LATCOM")
WAIT_S_MAX = 30.0
SOLD = "SELECT amount_minor::int FROM totals WHERE kind = 'succeeded' AND quarter = 'epoch'"


class Process:
    """One `python -m services.ledger`."""

    def __init__(self, redis_url: str, database_url: str, **settings: str) -> None:
        self.port, self.instance_port = free_port(), free_port()
        environ = {
            "REDIS_URL": redis_url,
            "DATABASE_URL": database_url,
            "PORT": str(self.port),
            "INSTANCE_PORT": str(self.instance_port),
            "DATABASE_POOL_SIZE": "4",
            "INSTANCE_ID": f"ledger-{self.port}",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.ledger"],
            env={**os.environ, **environ, **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ready(self) -> bool:
        """Whether it serves."""
        try:
            url = f"http://127.0.0.1:{self.instance_port}/readyz"
            with urllib.request.urlopen(url, timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it, if it has not ended."""
        self.process.send_signal(how)
        return self.process.wait(WAIT_S_MAX)


def until(look: Callable[[], Any]) -> Any:
    """Look again and again until something true is seen; return it."""
    deadline = time.monotonic() + WAIT_S_MAX
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not seen within {WAIT_S_MAX} s: {seen!r}"
        time.sleep(0.02)
    return seen


@pytest.fixture
def streams(redis_url: str) -> Iterator[Redis]:
    """The streams, as one who writes on them sees them."""
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def serve(redis_url: str, service_url: str) -> Iterator[Callable[..., Process]]:
    """Start ledgers, with their own rights; each is ended with the test."""
    started: list[Process] = []

    def start(**settings: str) -> Process:
        started.append(Process(as_service(redis_url, "ledger"), service_url, **settings))
        return started[-1]

    yield start
    for process in started:
        process.end()


def add(streams: Redis, stream: str, fields: dict[str, bytes]) -> None:
    """Write an entry."""
    streams.xadd(stream, dict(fields.items()))


def booked(url: str, query: str = "SELECT status FROM topups ORDER BY topup_id") -> list[Any]:
    """Return the first column."""
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(query.encode()).fetchall()]


def pending(streams: Redis) -> int:
    """Return how many entries the ledgers have read and not acknowledged."""
    return sum(
        streams.xpending(stream, LEDGER_GROUP)["pending"] for stream in (LANE, KEYS.outcomes)
    )


def all_read(streams: Redis) -> bool:
    """Whether nothing is unread or pending."""
    groups = [
        group
        for stream in (LANE, KEYS.outcomes)
        for group in streams.xinfo_groups(stream)
        if group["name"] == LEDGER_GROUP.encode()
    ]
    return len(groups) == 2 and not any(group["lag"] or group["pending"] for group in groups)


def test_requests_and_outcomes_are_booked_and_acknowledged(
    serve: Callable[..., Process], streams: Redis, ledger_url: str
) -> None:
    """What waits on the streams, and what comes later, is in the books."""
    until(serve().ready)
    add(streams, LANE, request_fields(1))
    until(lambda: booked(ledger_url) == ["queued"])
    add(streams, KEYS.outcomes, outcome_fields(1, State.SUCCEEDED))
    until(lambda: booked(ledger_url) == ["succeeded"])
    until(lambda: all_read(streams))


@pytest.mark.parametrize(
    ("stream", "damage", "reason"),
    [
        (LANE, {"id": b"42"}, "not a lower-case UUID"),
        (LANE, {"body": b"{"}, "not a request"),
        (LANE, {"body": b'["r9","C"]'}, "not a request"),
        (LANE, {"body": b"[" * 200_000}, "not a request"),
        (LANE, {"at": b"-1"}, "not a number"),
        (LANE, {"at": b"\xff\xfe"}, "not a number"),
        (KEYS.outcomes, {"state": b"lost"}, "is not one of"),
        (KEYS.outcomes, {"state": b"\xff"}, "is not text"),
        (KEYS.outcomes, {"seq": b"3"}, "not a number up to 2"),
        (KEYS.outcomes, {"evidence": b'{"a":1}'}, "evidence cannot be read"),
    ],
)
def test_an_entry_that_nobody_can_book_stops_nobody(
    serve: Callable[..., Process],
    streams: Redis,
    ledger_url: str,
    stream: str,
    damage: dict[str, bytes],
    reason: str,
) -> None:
    """It goes to the dead stream with its reason; its neighbours are booked."""
    process = serve()
    until(process.ready)
    good = request_fields if stream == LANE else lambda n: outcome_fields(n, State.FAILED)
    with streams.pipeline(transaction=True) as pipe:
        for number, fields in enumerate([good(1), {**good(2), **damage}, good(3)]):
            pipe.xadd(stream, dict(fields.items()), id=f"{1_795_000_000_000 + number}-0")
        pipe.execute()
    until(lambda: len(booked(ledger_url)) == 2)
    (dead,) = until(lambda: streams.xrange(KEYS.dead))
    assert reason in dead[1][b"reason"].decode()
    assert dead[1][b"entry"] == b"1795000000001-0"
    until(lambda: all_read(streams))


@pytest.mark.parametrize(
    "point",
    ["ledger.after_read", "ledger.before_commit", "ledger.after_commit", "ledger.before_ack"],
)
def test_a_ledger_that_dies_anywhere_loses_and_repeats_nothing(
    serve: Callable[..., Process], streams: Redis, ledger_url: str, point: str
) -> None:
    """What it had read is taken over by another, and is in the books once."""
    dying = serve(CRASH_AT=point)
    until(dying.ready)
    for number in range(20):
        add(streams, LANE, request_fields(number))
        add(streams, KEYS.outcomes, outcome_fields(number, State.SUCCEEDED))
    assert dying.process.wait(WAIT_S_MAX) == -signal.SIGKILL
    assert pending(streams) > 0
    until(serve().ready)
    until(lambda: all_read(streams))
    assert booked(ledger_url) == ["succeeded"] * 20
    assert booked(ledger_url, SOLD) == [10_000, 10_000], "of each currency"


def test_a_dead_database_delays_and_loses_nothing(redis_url: str, tmp_path: Path) -> None:
    """The ledger holds what it has read, and books it when PostgreSQL is back."""
    postgres = Running.postgres(tmp_path / "postgres")
    try:
        migrate(postgres.url, shipped(), say=lambda _text: None)
        process = Process(redis_url, postgres.url)
        until(process.ready)
        with Redis.from_url(redis_url) as streams:
            postgres.kill()
            for number in range(5):
                add(streams, LANE, request_fields(number))
            until(lambda: pending(streams) == 5)
            assert process.process.poll() is None
            postgres.revive()
            until(lambda: all_read(streams))
        assert booked(postgres.url) == ["queued"] * 5
        assert process.end() in (0, -signal.SIGTERM)
    finally:
        postgres.stop()


def test_a_customer_reads_its_own_topup_only(
    serve: Callable[..., Process], streams: Redis, ledger_url: str
) -> None:
    """Of another customer's the read API knows nothing."""
    process = serve()
    until(process.ready)
    add(streams, LANE, request_fields(1))
    until(lambda: booked(ledger_url))
    url = f"http://127.0.0.1:{process.port}/topups/{topup_id(1)}?customer_id="
    with urllib.request.urlopen(f"{url}C1") as answer:
        assert topup_id(1).encode() in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}C2")


def test_nothing_is_booked_that_a_failover_could_undo(
    serve: Callable[..., Process], streams: Redis, ledger_url: str
) -> None:
    """With a replica that may be promoted, and is away, entries wait in the ledger's hands."""
    ledger = serve(REDIS_REPLICAS="1")
    until(ledger.ready)
    add(streams, LANE, request_fields(1))
    until(lambda: streams.xpending(LANE, LEDGER_GROUP)["pending"] == 1)
    streams.config_resetstat()
    until(lambda: streams.info("commandstats").get("cmdstat_waitaof", {}).get("calls", 0) >= 6)
    with psycopg.connect(ledger_url) as connection:
        assert connection.execute("SELECT count(*) FROM topups").fetchone() == (0,)
