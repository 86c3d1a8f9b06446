"""How fast and how flat `topup replay` and `topup export` are: `make bench-replay`.

Fills a Valkey of its own with topups as the functions write them, then runs the commands as an
operator would, each as a process: into empty books, into books that know it all, as a dry run, to
a file and from it. Prints entries a second and the most memory that the process ever had.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from redis import Redis

from ops.embedded import postgres_server, valkey_server
from services.ledger.migrations import migrate, shipped
from shared.contracts.events import Evidence, TopupRequested, encode
from shared.contracts.packing import pack
from shared.contracts.streams import PartitionKeys

KEYS = PartitionKeys(0)
TOPUP = Path(sys.executable).with_name("topup")
BATCH = 1_000
STATES = ["succeeded"] * 17 + ["failed"] * 2 + ["unresolved"]


def main() -> None:
    """Run all of it once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    topups = parser.parse_args().entries // 2
    with tempfile.TemporaryDirectory() as name, servers(Path(name)) as (redis_url, database_url):
        fill(redis_url, topups)
        print(f"{2 * topups:,} entries: {topups:,} requests and their outcomes")
        migrate(database_url, shipped(), say=lambda _text: None)
        run = Runs(redis_url, database_url)
        file = Path(name) / "all.jsonl.gz"
        run.shown("dry run, new", "replay", "--dry-run")
        run.shown("streams, new", "replay")
        run.shown("streams, known", "replay")
        run.shown("dry run, known", "replay", "--dry-run")
        run.shown("export", "export", str(file))
        run.shown("file, known", "replay", "--file", str(file))
        run.shown("verify", "ledger", "verify")


class servers:  # noqa: N801 - reads as a function
    """A Valkey and a PostgreSQL of our own."""

    def __init__(self, folder: Path) -> None:
        self._valkey = valkey_server(folder / "valkey")
        self._postgres = postgres_server(folder / "postgres")

    def __enter__(self) -> tuple[str, str]:
        return self._valkey.__enter__(), self._postgres.__enter__()

    def __exit__(self, *problem: object) -> None:
        self._postgres.__exit__(None, None, None)
        self._valkey.__exit__(None, None, None)


class Runs:
    """Runs commands, each in a process whose memory is measured."""

    def __init__(self, redis_url: str, database_url: str) -> None:
        self._environ = {**os.environ, "REDIS_URL": redis_url, "DATABASE_URL": database_url}

    def shown(self, what: str, *words: str) -> None:
        """Run one and print what it took."""
        started = time.monotonic()
        reading, writing = os.pipe()
        pid = os.posix_spawn(
            TOPUP, [str(TOPUP), *words], self._environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)],
        )  # fmt: skip
        os.close(writing)
        with os.fdopen(reading) as output:
            said = output.read()
        _, status, used = os.wait4(pid, 0)
        if status:
            raise SystemExit(f"topup {' '.join(words)} ended with {status}")
        passed = time.monotonic() - started
        rate = re.search(r"\(([\d,]+)/s\)", said)
        shown = f"{rate[1]:>8} entries/s" if rate else " " * 18
        cpu_s, memory_mb = used.ru_utime + used.ru_stime, used.ru_maxrss / 1_024
        print(
            f"{what:16} {shown}  {passed:6.1f} s, {cpu_s:6.1f} s of them its own CPU, "
            f"{memory_mb:3.0f} MB at most",
            flush=True,
        )


def fill(redis_url: str, topups: int) -> None:
    """Write the streams as `accept` and `settle` do."""
    with Redis.from_url(redis_url) as client:
        client.hset(KEYS.meta, mapping={"partitions": 1, "format": 1})
        for start in range(0, topups, BATCH):
            with client.pipeline(transaction=False) as pipe:
                for number in range(start, min(start + BATCH, topups)):
                    for stream, fields in entries(number):
                        pipe.xadd(stream, fields)
                pipe.execute()


def entries(number: int) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield one topup's request and outcome."""
    request = TopupRequested(
        customer_id=f"CUSTOMER_{number % 50:03}",
        phone=f"+52556{number % 10_000_000:07}",
        country="MX",
        amount_minor=1_000 + 1_000 * (number % 2),
        currency="MXN",
        provider="LATCOM",
        product="XOOM_10_MXN",
        reference=f"order-{number}",
    )
    at_ms = 1_795_000_000_000 + number
    topup = {
        "id": f"019a{number:08x}"[:8].encode() + b"-0000-7000-8000-%012x" % number,
        "body": encode(request),
    }
    yield KEYS.requests("LATCOM"), {**topup, "at": b"%d" % at_ms}
    answer = {"responseCode": "00", "transactionId": f"{number:020}", "balance": "1000.00"}
    evidence = Evidence(provider_reference=f"{number:020}", code="00", raw=answer, attempt=1)
    state = STATES[number % len(STATES)]
    yield (
        KEYS.outcomes,
        {
            **topup,
            "at": b"%d" % at_ms,
            "seq": b"1",
            "state": state.encode(),
            "reason": b"" if state == "succeeded" else b"refused",
            "evidence": pack(encode(evidence)),
        },
    )


if __name__ == "__main__":
    main()
