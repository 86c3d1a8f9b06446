"""What runs is replayed, exported and rebuilt while topups flow; nothing is paid by that."""

import asyncio
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import sql
from redis import Redis

from ops.embedded import postgres_server
from shared.contracts.streams import PartitionKeys
from tests.system.stack import TOPUP, Stack, accept, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.settings(SANDBOX_LATENCY="20", LATCOM_TIMEOUT="1s"),
]

KEYS = PartitionKeys(0)
STREAMS = [KEYS.outcomes, KEYS.requests("LATCOM")]
NOTHING = "0 new requests, 0 new outcomes, 0 set aside, 0 unreadable"
ENDINGS = ["5566374683"] * 6 + ["5566374901", "5566374903"]


def urls(stack: Stack) -> dict[str, str]:
    """Return where the servers of the stack are."""
    state = msgspec.json.decode((stack.folder / "state.json").read_bytes())
    found: dict[str, str] = state["environment"]
    return found


@pytest.fixture
async def sold(stack: Stack) -> Stack:
    """Some topups of each ending."""
    for phone in ENDINGS:
        status, body = await stack.post(phone=phone)
        assert status == 202, body
    await stack.until_settled(len(ENDINGS))
    return stack


@pytest.fixture
def empty_url(sold: Stack) -> Iterator[str]:
    """An empty database beside that of the stack."""
    url, name = urls(sold)["DATABASE_URL"], f"empty_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield f"{url.rpartition('/')[0]}/{name}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


async def run(stack: Stack, *words: str, **settings: str) -> str:
    """Run a command that succeeds; return what it printed."""
    done = await asyncio.to_thread(stack.topup, *words, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def streams(stack: Stack) -> list[Any]:
    """Return what the streams and their groups look like."""
    with Redis.from_url(urls(stack)["REDIS_URL"]) as client:
        return [
            (client.xlen(name), client.xinfo_stream(name)["last-generated-id"],
             [(group["name"], group["pending"]) for group in client.xinfo_groups(name)])
            for name in STREAMS
        ]  # fmt: skip


async def test_a_replay_of_healthy_books_changes_and_pays_nothing(sold: Stack) -> None:
    """Neither books nor streams nor the provider's own book show that it ever ran."""
    before = [await run(sold, "ledger", "digest"), streams(sold), await sold.book()]
    assert NOTHING in await run(sold, "replay")
    assert NOTHING in await run(sold, "replay", "--dry-run")
    assert NOTHING in await run(sold, "replay", "--from", "2026-01-01", "--provider", "LATCOM")
    customer = sold.env["TOPUP_CUSTOMER_ID"]
    assert NOTHING in await run(sold, "replay", "--customer", customer)
    assert [await run(sold, "ledger", "digest"), streams(sold), await sold.book()] == before
    await run(sold, "ledger", "verify")


async def test_books_are_rebuilt_from_the_streams_and_from_a_file(
    sold: Stack, empty_url: str, tmp_path: Path
) -> None:
    """Into an empty database: the same digest, and sound; the file is for its owner's eyes."""
    file = tmp_path / "all.jsonl.gz"
    assert "exported" in await run(sold, "export", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert NOTHING in await run(sold, "replay", "--file", str(file))
    digest = await run(sold, "ledger", "digest")

    await run(sold, "migrate", DATABASE_URL=empty_url)
    empty = await run(sold, "ledger", "digest", DATABASE_URL=empty_url)
    said = await run(sold, "replay", "--dry-run", DATABASE_URL=empty_url)
    assert "would be" in said
    assert await run(sold, "ledger", "digest", DATABASE_URL=empty_url) == empty

    replayed = await run(sold, "replay", DATABASE_URL=empty_url)
    assert said.partition("would be ")[2] == replayed.rpartition(": ")[2]
    assert await run(sold, "ledger", "digest", DATABASE_URL=empty_url) == digest
    await run(sold, "ledger", "verify", DATABASE_URL=empty_url)


async def test_a_file_rebuilds_books_far_from_any_stream(sold: Stack, tmp_path: Path) -> None:
    """In another environment, with nothing but the file and a database."""
    file = tmp_path / "all.jsonl.gz"
    await run(sold, "export", str(file))
    with postgres_server(tmp_path / "postgres") as url:
        elsewhere = {"DATABASE_URL": url, "TOPUP_DATA_DIR": str(tmp_path / "none")}
        await run(sold, "migrate", **elsewhere)
        await run(sold, "replay", "--file", str(file), **elsewhere)
        assert await run(sold, "ledger", "digest", **elsewhere) == await run(
            sold, "ledger", "digest"
        )


async def test_a_restored_backup_and_the_streams_since_are_the_books(
    sold: Stack, empty_url: str, tmp_path: Path
) -> None:
    """Taken while topups flow; what was sold since comes from the streams, to the digest."""
    file = tmp_path / "books.zip"
    making = asyncio.create_task(accept(sold, 100))
    await run(sold, "backup", str(file))
    await making
    await accept(sold, 50)
    await sold.until_settled(150 + len(ENDINGS))
    assert NOTHING in await run(sold, "replay")
    digest = await run(sold, "ledger", "digest")

    elsewhere = {"DATABASE_URL": empty_url}
    await run(sold, "restore", str(file), "--yes", **elsewhere)
    doctor = await asyncio.to_thread(sold.topup, "doctor", **elsewhere)
    assert "topups that were accepted" in doctor.stdout
    assert "run `topup replay`" in doctor.stdout
    await run(sold, "replay", **elsewhere)
    assert await run(sold, "ledger", "digest", **elsewhere) == digest
    await run(sold, "ledger", "verify", **elsewhere)
    doctor = await asyncio.to_thread(sold.topup, "doctor", **elsewhere)
    assert "they have every topup that was accepted" in doctor.stdout


async def test_replays_under_load_disturb_nobody(sold: Stack) -> None:
    """Topups flow, ledgers book, replays run: each entry is in the books once."""
    making = asyncio.create_task(accept(sold, 300))
    while not making.done():
        await run(sold, "replay")
    await sold.until_settled(300 + len(ENDINGS))
    assert NOTHING in await run(sold, "replay")
    await run(sold, "ledger", "verify")


async def test_metrics_are_the_postings_to_the_cent(sold: Stack) -> None:
    """Revenue is what was charged; what is in limbo is what postings say is there."""
    _, metrics = await sold.get("/api/admin/metrics")
    with psycopg.connect(urls(sold)["DATABASE_URL"]) as connection:
        rows = connection.execute(
            """SELECT account, count(*) FILTER (WHERE amount_minor > 0), sum(amount_minor)::bigint
               FROM (SELECT credit AS account, amount_minor FROM postings
                     UNION ALL SELECT debit, -amount_minor FROM postings) AS moves
               GROUP BY account"""
        ).fetchall()
    accounts = {account: (count, minor) for account, count, minor in rows}
    assert metrics["total_transactions"] == accounts["charged"][0]
    assert metrics["revenue"] == {"MXN": f"{accounts['charged'][1] / 100:.2f}"}
    assert accounts["payable"] == accounts["charged"]


async def test_the_ledger_that_runs_owns_nothing(sold: Stack) -> None:
    """`make run` gives it a role that can only add to the books."""
    with psycopg.connect(urls(sold)["DATABASE_URL"]) as connection:
        rows = connection.execute(
            """SELECT DISTINCT usename, usesuper FROM pg_stat_activity JOIN pg_user USING (usename)
               WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"""
        ).fetchall()
    assert rows == [("topup_ledger", False)]


async def test_an_interrupted_replay_says_how_far_it_was(sold: Stack, empty_url: str) -> None:
    """Ctrl-C: one line, status 130; and it can be run again."""
    await run(sold, "migrate", DATABASE_URL=empty_url)
    process = await asyncio.create_subprocess_exec(
        TOPUP,
        "replay",
        env={**os.environ, "TOPUP_DATA_DIR": str(sold.folder), "DATABASE_URL": empty_url},
        stderr=asyncio.subprocess.PIPE,
    )
    with psycopg.connect(empty_url) as connection:
        connection.execute("LOCK TABLE topups")

        async def waits() -> bool:
            waiting = connection.execute("SELECT FROM pg_locks WHERE NOT granted").fetchone()
            return waiting is not None

        await until(waits)
        process.send_signal(signal.SIGINT)
        _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 130
    assert len(said.splitlines()) == 1
    assert b"interrupted after 0 entries; 0 new requests" in said
    assert b"it can be run again" in said
    assert "would be" in await run(sold, "replay", "--dry-run", DATABASE_URL=empty_url)
    await run(sold, "replay", DATABASE_URL=empty_url)
    assert NOTHING in await run(sold, "replay", DATABASE_URL=empty_url)


async def test_one_topup_is_replayed_alone(sold: Stack) -> None:
    """Its request and its outcome, of all that is read."""
    (topup,) = await accept(sold, 1)
    await sold.until_settled(len(ENDINGS) + 1)
    said = await run(sold, "replay", "--topup", topup.upper(), "--provider", "LATCOM")
    assert "replayed 2 of " in said
    assert NOTHING in said


async def test_an_id_that_nobody_has_is_refused(sold: Stack, tmp_path: Path) -> None:
    """Rather mistyped than meant; and no file is left of it."""
    nobody = "00000000-0000-7000-8000-000000000000"
    for words in (["--topup", nobody], ["--customer", "NOBODY_001"]):
        done = await asyncio.to_thread(sold.topup, "replay", *words)
        assert done.returncode == 2, done.stderr
        assert f"no entry here is of {' '.join(words)}" in done.stderr
    file = tmp_path / "none.jsonl.gz"
    done = await asyncio.to_thread(sold.topup, "export", str(file), "--topup", nobody)
    assert done.returncode == 2
    assert await asyncio.to_thread(os.listdir, tmp_path) == []
