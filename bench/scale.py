"""`make bench-scale`: what grows with what; into docs/scale.md and docs/scale.svg.

Throughput with 1, 2, 3 and 6 dispatchers before a provider of two seconds, where only the number of
sends at once can be the limit; connections; what a topup leaves in Valkey and in the books; what
partitions cost while nothing happens.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import msgspec
import psycopg
from redis import Redis

from bench.__main__ import machine, say
from bench.account import by_kind, cpu_s, resident_mb, used_s
from bench.houses import House, ours
from bench.ledger_fill import fill
from bench.memory import measure
from bench.rounds import idle_cores, paid
from bench.scale_report import Books, Found, Partitions, Point, write_report
from ops.embedded import Running, valkey_server
from tests.system.stack import TOPUP

RESULTS: Final = Path(".topup-bench/scale.json")
DISPATCHERS: Final = (1, 2, 3, 6)
LATENCY_MS: Final = "1500-2500"
"""Two seconds on average. Were it always the same, all slots would answer in one wave, and a wave
more or less would be a tenth of what is counted."""
MEAN_S: Final = 2.0
TURNS_FIRST: Final = 4
ROOM: Final = 1.3
IDLE_S: Final = 6.0
SETTLED: Final = 20_000
BOOKED: Final = 200_000
SHARE_MIN: Final = 0.9


def throughput(folder: Path, *, slots: int, seconds: float) -> Iterator[Point]:
    """Yield what was paid a second by each number of dispatchers, in the steady middle."""
    first = 0
    with ours(folder, SANDBOX_LATENCY=LATENCY_MS, QUEUE_CONCURRENCY=str(slots)) as house:
        for dispatchers in DISPATCHERS:
            possible = dispatchers * slots / MEAN_S
            lasts_s = TURNS_FIRST * MEAN_S + seconds
            count = int(possible * lasts_s * ROOM)
            _scale(folder, dispatchers)
            house.offer(count, first=first)
            first += count
            time.sleep(TURNS_FIRST * MEAN_S)
            point = _point(folder, house, dispatchers=dispatchers, slots=slots, seconds=seconds)
            say(point)
            yield point
            _until_nothing_waits(house, first)


def _point(folder: Path, house: House, *, dispatchers: int, slots: int, seconds: float) -> Point:
    pids = {row["id"]: row["pid"] for row in _rows(folder)}
    used, before, began = cpu_s(pids), paid(house)["paid"], time.monotonic()
    time.sleep(seconds)
    done, passed = paid(house)["paid"] - before, time.monotonic() - began
    cpu = by_kind(used_s(used, cpu_s(pids)))
    held = resident_mb(pids)
    valkey, postgres = _connections(folder, house)
    return Point(
        dispatchers=dispatchers,
        slots=slots,
        possible_per_s=dispatchers * slots / MEAN_S,
        done_per_s=done / passed,
        cpu={kind: figure * 1_000 / done for kind, figure in cpu.items()},
        valkey_connections=valkey,
        postgres_connections=postgres,
        dispatcher_mb=max(mb for name, mb in held.items() if name.startswith("dispatcher")),
    )


def _scale(folder: Path, dispatchers: int) -> None:
    _topup(folder, "scale", f"dispatcher={dispatchers}")


def _rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_topup(folder, "ps", "--json"))
    return found


def _topup(folder: Path, *words: str) -> str:
    environ = {**os.environ, "TOPUP_DATA_DIR": str(folder / "topup")}
    done = subprocess.run([TOPUP, *words], env=environ, check=True, capture_output=True, text=True)
    return done.stdout


def _until_nothing_waits(house: House, offered: int) -> None:
    """What was offered beyond the measurement is paid, so that the next one begins anew."""
    while paid(house)["paid"] < offered:
        time.sleep(0.5)


def _connections(folder: Path, house: House) -> tuple[int, int]:
    state = msgspec.json.decode((folder / "topup" / "state.json").read_bytes())
    with Redis.from_url(state["environment"]["REDIS_URL"]) as client:
        valkey = len(client.client_list()) - 1
    with house.books() as books:
        row = books.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid()"
        ).fetchone()
    return valkey, row[0] if row else 0


def partitions(folder: Path, count: int) -> Partitions:
    """Return what so many partitions on one server cost while nothing happens."""
    with ours(folder, STREAM_PARTITIONS=str(count)) as house:
        time.sleep(2)
        valkey, _ = _connections(folder, house)
        cores = by_kind(idle_cores(house, IDLE_S))
        replicas = len([name for name in house.pids if name.startswith(("gate", "disp", "ledg"))])
        return Partitions(count=count, valkey_connections=valkey, replicas=replicas, cores=cores)


def settled_bytes() -> float:
    """Return what a settled topup takes in Valkey."""
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as url:
        return asyncio.run(measure(url, topups=SETTLED)).grown


def books() -> Books:
    """Return what topups take on PostgreSQL's disk and in a backup, and how fast that is made."""
    with _postgres() as url, tempfile.TemporaryDirectory() as folder:
        fill(url, count=BOOKED, seed=1)
        with psycopg.connect(url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class"
                " WHERE relname IN ('topups', 'outcomes', 'postings')"
            ).fetchone()
            connection.execute("CREATE DATABASE empty TEMPLATE template0")
        file = Path(folder) / "books.zip"
        backup_s = _timed(url, "backup", str(file))
        restore_s = _timed(f"{url.rpartition('/')[0]}/empty", "restore", str(file), "--yes")
        return Books(
            bytes_each=int(row[0]) / BOOKED if row else 0.0,
            backup_per_s=BOOKED / backup_s,
            backup_bytes_each=file.stat().st_size / BOOKED,
            restore_per_s=BOOKED / restore_s,
        )


def _timed(url: str, *words: str) -> float:
    began = time.monotonic()
    subprocess.run(
        [TOPUP, *words], env={**os.environ, "DATABASE_URL": url}, check=True, capture_output=True
    )
    return time.monotonic() - began


@contextmanager
def _postgres() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        server = Running.postgres(Path(folder) / "postgres")
        try:
            yield server.url
        finally:
            server.stop()


def main() -> int:
    """Measure and write; 1 where throughput is not proportional."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each count")
    given = parser.parse_args()
    at = Path(mkdtemp(prefix="topup-scale-"))
    found = Found(command=" ".join(["python -m bench.scale", *sys.argv[1:]]), machine=machine())
    for slots in given.slots:
        folder = at / f"slots-{slots}"
        folder.mkdir()
        found.points += throughput(folder, slots=slots, seconds=given.seconds)
    for count in (1, 12):
        folder = at / f"partitions-{count}"
        folder.mkdir()
        found.partitions.append(partitions(folder, count))
        say(found.partitions[-1])
    found.settled_bytes, found.books = settled_bytes(), books()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    print(write_report(found, Path("docs")))
    return 0 if min(found.shares.values()) >= SHARE_MIN else 1


if __name__ == "__main__":
    sys.exit(main())
