"""A backup is the whole database at one moment, and comes back whole or not at all."""

import asyncio
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec
import psycopg
import pytest

from bench.memory import BATCH, Sales
from ops.checks.books import check_books
from services.ledger.backup import MANIFEST, Backup, Manifest, NotKept
from services.ledger.migrations import migrate, shipped
from shared.bus.lanes import Lanes
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.runtime.redis import connect
from tests.integration.ledger.conftest import fresh, opened
from tests.integration.ledger.typed import Type, ok

pytestmark = pytest.mark.integration

ODD = 'tab\there, \\N, \\., "quotes", line\nend, ñ, 日本'


@pytest.fixture
def empty_url(postgres_url: str) -> Iterator[str]:
    """A database without any schema."""
    with fresh(postgres_url, "template0") as url:
        yield url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a backup goes."""
    return tmp_path / "books.zip"


async def sell(redis_url: str, *, before: int = 0) -> None:
    """Let a batch of topups be accepted, paid and acknowledged, and booked by nobody."""
    client = connect(redis_url)
    try:
        sales = Sales(client, None)
        sales._accepted = before
        await sales.settle(1)
    finally:
        await client.aclose()


async def hold(redis_url: str) -> None:
    """Hold a lane, and open it again."""
    client = connect(redis_url)
    try:
        lanes = Lanes(client, Topups(client, partitions=1, window_ms=0))
        await lanes.hold("LATCOM", act=act_by("ana", why="maintenance"))
        await lanes.release("LATCOM", act=act_by("ana", why="it is over"))
    finally:
        await client.aclose()


async def lacking(redis_url: str, database_url: str) -> str:
    """Return what `topup doctor` says of the books."""
    environ = {"REDIS_URL": redis_url, "DATABASE_URL": database_url}
    (finding,) = [one async for one in check_books(environ)]
    return finding.found


def count(url: str, table: str) -> int:
    """Return how many rows a table has."""
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def restored(
    topup: Type, monkeypatch: pytest.MonkeyPatch, url: str, file: Path, *words: str
) -> str:
    """Restore into that database, where all that follows is done; return what was said."""
    monkeypatch.setenv("DATABASE_URL", url)
    done = topup("restore", str(file), *words)
    assert done.status == 0, done.err
    return done.out


def altered(file: Path, **changes: object) -> None:
    """Write the backup anew with another manifest."""
    with ZipFile(file) as before:
        members = {name: before.read(name) for name in before.namelist()}
    manifest = msgspec.json.decode(members[MANIFEST]) | changes
    members[MANIFEST] = msgspec.json.encode(manifest)
    with ZipFile(file, "w", ZIP_DEFLATED) as after:
        for name, content in members.items():
            after.writestr(name, content)


def test_a_restored_yesterday_and_the_streams_of_today_are_the_books_of_today(
    topup: Type,
    monkeypatch: pytest.MonkeyPatch,
    redis_url: str,
    ledger_url: str,
    empty_url: str,
    file: Path,
) -> None:
    """To the digest; doctor says how many topups are missing until the streams are replayed."""
    asyncio.run(sell(redis_url))
    ok(topup, "replay")
    yesterday = ok(topup, "ledger", "digest")
    assert yesterday.strip() in ok(topup, "backup", str(file))
    asyncio.run(sell(redis_url, before=BATCH))
    ok(topup, "replay")
    today = ok(topup, "ledger", "digest")
    assert asyncio.run(lacking(redis_url, ledger_url)).startswith("they have every topup")

    assert "run `topup replay`" in restored(topup, monkeypatch, empty_url, file, "--yes")
    assert ok(topup, "ledger", "digest") == yesterday != today
    assert asyncio.run(lacking(redis_url, empty_url)) == (
        f"they lack {BATCH} topups that were accepted"
    )
    assert f"{BATCH} new requests, {BATCH} new outcomes" in ok(topup, "replay")
    assert ok(topup, "ledger", "digest") == today
    assert asyncio.run(lacking(redis_url, empty_url)).startswith("they have every topup")
    ok(topup, "ledger", "verify")


def test_acts_of_today_come_from_the_streams(
    topup: Type,
    monkeypatch: pytest.MonkeyPatch,
    redis_url: str,
    empty_url: str,
    file: Path,
) -> None:
    """Into the chain, once; a dry run says so and does nothing."""
    ok(topup, "backup", str(file))
    asyncio.run(hold(redis_url))
    ok(topup, "replay")
    restored(topup, monkeypatch, empty_url, file, "--yes")
    assert count(empty_url, "audit") == 1, "that it was restored"
    assert "would be" in (said := ok(topup, "replay", "--dry-run"))
    assert ", 2 new acts" in said
    assert count(empty_url, "audit") == 1
    assert ", 2 new acts" in ok(topup, "replay")
    assert ", 0 new acts" in ok(topup, "replay")
    assert count(empty_url, "audit") == 3
    ok(topup, "audit", "verify")


def test_customers_keys_operators_and_the_audit_come_back(
    topup: Type,
    monkeypatch: pytest.MonkeyPatch,
    ledger_url: str,
    empty_url: str,
    file: Path,
) -> None:
    """As they were, odd characters too; of keys there are digests alone; and the audit goes on."""
    ok(topup, "customers", "create", "ACME_001", "--merchant", "acme")
    key = ok(topup, "keys", "create", "ACME_001").split()[-1]
    operator = ok(topup, "operators", "add", "ana").split()[-1]
    with psycopg.connect(ledger_url) as connection:
        connection.execute("UPDATE api_keys SET label = %s", [ODD])
    listed = [ok(topup, words, "list", "--json") for words in ("customers", "operators")]
    ok(topup, "backup", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    with ZipFile(file) as zipped:
        content = b"".join(map(zipped.read, zipped.namelist()))
    assert key.encode() not in content
    assert operator.encode() not in content

    restored(topup, monkeypatch, empty_url, file, "--yes")
    assert [ok(topup, words, "list", "--json") for words in ("customers", "operators")] == listed
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT label FROM api_keys").fetchall() == [(ODD,)]
    ok(topup, "audit", "verify")
    with psycopg.connect(empty_url) as connection:
        newest = connection.execute("SELECT act, target FROM audit ORDER BY seq DESC LIMIT 1")
        assert newest.fetchone() == ("books.restore", file.name)


async def test_nothing_is_left_out(ledger_url: str) -> None:
    """Every table is in it, and no sequence would have to be: a new one needs a thought here."""
    async with opened(ledger_url) as database:
        manifest = await Backup(database).write(io.BytesIO(), made_at="now")
    with psycopg.connect(ledger_url) as connection:
        found = connection.execute(
            "SELECT relname::text, relkind::text FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S', 'm')"
        ).fetchall()
    assert {(one.name, "r") for one in manifest.tables} | {("migrations", "r")} == set(found)


async def test_it_is_one_moment(ledger_url: str) -> None:
    """What is committed while it is written is in none of its tables."""
    async with opened(ledger_url) as database:
        backup = Backup(database)

        class Slow(io.BytesIO):
            """A file that lets somebody work between two tables."""

            written = False

            def write(self, data: object) -> int:
                if not self.written:
                    self.written = True
                    with psycopg.connect(ledger_url) as connection:
                        connection.execute("INSERT INTO customers VALUES ('LATER_001', 'later')")
                return super().write(data)  # type: ignore[arg-type] # as given

        manifest = await backup.write(Slow(), made_at="now")
    assert count(ledger_url, "customers") == 1
    assert {one.rows for one in manifest.tables} == {0}


def test_a_dry_run_looks_and_changes_nothing(
    topup: Type, monkeypatch: pytest.MonkeyPatch, empty_url: str, file: Path
) -> None:
    """It says what would be brought; the database has not even a schema afterwards."""
    ok(topup, "customers", "create", "ACME_001", "--merchant", "acme")
    ok(topup, "backup", str(file))
    said = restored(topup, monkeypatch, empty_url, file, "--dry-run")
    assert "nothing was changed" in said
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT to_regclass('migrations')").fetchone() == (None,)
    assert topup("restore", str(file)).status == 2, "nobody was asked"
    assert topup("restore", str(file), answer="n").status == 1
    assert topup("restore", str(file), answer="y").status == 0


def test_a_database_that_has_something_is_refused(topup: Type, file: Path) -> None:
    """Nothing is mixed; the line says how to make an empty one."""
    ok(topup, "customers", "create", "ACME_001", "--merchant", "acme")
    ok(topup, "backup", str(file))
    done = topup("restore", str(file), "--yes")
    assert done.status == 2
    assert "is not empty" in done.err
    assert "for example: createdb" in done.err


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"topup_backup": 2}, "it is of version 2"),
        ({"tables": "none"}, "it has no manifest"),
        ({"migrations": [{"number": 9_999, "name": "9999_x.sql", "sha256": ""}]}, "later version"),
        ({"digest": "0" * 32}, "came to the digest"),
    ],
)
def test_what_is_no_whole_backup_leaves_no_row(
    topup: Type,
    monkeypatch: pytest.MonkeyPatch,
    empty_url: str,
    file: Path,
    changes: dict[str, object],
    problem: str,
) -> None:
    """Whatever is wrong is one line, and the database can take another one."""
    ok(topup, "customers", "create", "ACME_001", "--merchant", "acme")
    ok(topup, "backup", str(file))
    whole = file.with_name("whole.zip")
    shutil.copy(file, whole)
    altered(file, **changes)
    monkeypatch.setenv("DATABASE_URL", empty_url)
    done = topup("restore", str(file), "--yes")
    assert (done.status, len(done.err.splitlines())) == (2, 1), done.err
    assert problem in done.err
    restored(topup, monkeypatch, empty_url, whole, "--yes")
    assert count(empty_url, "customers") == 1


def test_an_altered_row_is_found(topup: Type, file: Path) -> None:
    """Before the database is asked anything."""
    ok(topup, "customers", "create", "ACME_001", "--merchant", "acme")
    ok(topup, "backup", str(file))
    with ZipFile(file) as before:
        members = {name: before.read(name) for name in before.namelist()}
    members["customers.copy"] = members["customers.copy"].replace(b"acme", b"evil")
    with ZipFile(file, "w") as after:
        for name, content in members.items():
            after.writestr(name, content)
    done = topup("restore", str(file), "--yes")
    assert done.status == 2
    assert "its table customers is not what was written" in done.err


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_half_of_one_is_refused(topup: Type, file: Path, share: float) -> None:
    """Wherever it was cut off."""
    ok(topup, "backup", str(file))
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    done = topup("restore", str(file), "--yes")
    assert done.status == 2
    assert "half of one" in done.err


def test_an_older_schema_is_made_and_then_brought_up_to_date(
    topup: Type, monkeypatch: pytest.MonkeyPatch, postgres_url: str, empty_url: str, file: Path
) -> None:
    """The migrations since treat the rows as they would have where they came from."""
    *before, _, _ = shipped()
    with fresh(postgres_url, "template0") as older:
        migrate(older, before, say=lambda _text: None)
        with psycopg.connect(older) as connection:
            connection.execute("INSERT INTO customers VALUES ('ACME_001', 'acme')")
        monkeypatch.setenv("DATABASE_URL", older)
        ok(topup, "backup", str(file))
    restored(topup, monkeypatch, empty_url, file, "--yes")
    assert count(empty_url, "migrations") == len(shipped())
    assert count(empty_url, "customers") == 1


async def test_a_schema_of_a_later_version_is_not_backed_up(ledger_url: str) -> None:
    """It may have tables that this version does not know."""
    with psycopg.connect(ledger_url) as connection:
        connection.execute("INSERT INTO migrations VALUES (9999, '9999_later.sql', 'x')")
    async with opened(ledger_url) as database:
        with pytest.raises(NotKept, match="the migration 9999"):
            await Backup(database).write(io.BytesIO(), made_at="now")


def test_the_ledgers_own_role_may_back_up(
    topup: Type, monkeypatch: pytest.MonkeyPatch, service_url: str, file: Path
) -> None:
    """Reading is all that it takes."""
    monkeypatch.setenv("DATABASE_URL", service_url)
    ok(topup, "backup", str(file))
    with ZipFile(file) as zipped:
        assert msgspec.json.decode(zipped.read(MANIFEST), type=Manifest).rows == 0
