"""Brings the schema up to date: numbered SQL files, each once, whoever else migrates meanwhile.

A file whose first line is `-- no transaction` runs statement by statement, so that it may build
indexes concurrently; its statements end with a semicolon at the end of a line.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import pairwise
from typing import Any, Final, LiteralString

import msgspec
import psycopg
from psycopg import sql

from services.ledger.compatibility import check_running, named_by
from shared.contracts.errors import TopupError

LOCK_KEY: Final = 0x6D696772617465
LOCK_AGAIN_S: Final = 0.2
_FILE: Final = re.compile(r"(\d{4})_\w+\.sql")
_NO_TRANSACTION: Final = "-- no transaction\n"
_END: Final = re.compile(r";[ \t]*$", re.MULTILINE)
_INDEX: Final = re.compile(r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (\w+)")
_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS migrations (
        number     integer PRIMARY KEY,
        name       text NOT NULL,
        sha256     text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""
_APPLIED: Final = "SELECT number, sha256 FROM migrations"

Connection = psycopg.Connection[tuple[Any, ...]]


class MigrationRefused(TopupError):
    """The schema and its files do not fit together; change nothing, tell the operator."""

    code = "migration_refused"


class Migration(msgspec.Struct, frozen=True):
    """One numbered file."""

    number: int
    name: str
    text: LiteralString

    @property
    def digest(self) -> str:
        """What the file was when it was applied."""
        return sha256(self.text.encode()).hexdigest()


def shipped() -> list[Migration]:
    """Return the files of this version, in order."""
    folder = files("services.ledger").joinpath("schema")
    return numbered({file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()})


@cache
def own_name() -> str:
    """Return what this version's connections are called: the database tells by it who runs."""
    return named_by(shipped()[-1].number)


def numbered(texts: Mapping[str, str]) -> list[Migration]:
    """Return migrations in order; numbers may have gaps, since work goes on side by side.

    Raises:
        MigrationRefused: a number is there twice.
    """
    found = [
        Migration(int(match[1]), name, text)
        for name, text in sorted(texts.items())
        if (match := _FILE.fullmatch(name))
    ]
    for earlier, later in pairwise(found):
        if earlier.number == later.number:
            raise MigrationRefused(f"{later.name} has the number of {earlier.name}; rename it")
    return found


def missing(applied: Mapping[int, str], migrations: Sequence[Migration]) -> list[Migration]:
    """Return what is yet to be applied; a later version's migrations are none of our business.

    Raises:
        MigrationRefused: an applied file is another one now.
    """
    for migration in migrations:
        if applied.get(migration.number, migration.digest) != migration.digest:
            raise MigrationRefused(
                f"{migration.name} was changed after it was applied; put it back as it was, "
                f"and write the change into {migrations[-1].number + 1:04}_….sql"
            )
    return [migration for migration in migrations if migration.number not in applied]


def migrate(
    url: str, migrations: Sequence[Migration], *, say: Callable[[str], None] = print
) -> list[str]:
    """Apply what is missing; safe to run twice, and at once from several places.

    Raises:
        MigrationRefused: see `missing`; nothing was changed.
        WouldBreak: see `check_running`; likewise.
        psycopg.Error: the file it was at is not applied; those before it are.
    """
    with (
        psycopg.connect(url, autocommit=True, connect_timeout=10) as connection,
        locked(connection),
    ):
        connection.execute(_TABLE)
        wanted = missing(dict(connection.execute(_APPLIED).fetchall()), migrations)
        check_running(connection, wanted)
        for migration in wanted:
            _apply(connection, migration)
            say(f"applied {migration.name}")
    return [migration.name for migration in wanted]


async def applied(connection: psycopg.AsyncConnection[Any]) -> dict[int, str]:
    """Return the digest of each applied migration; none where nobody ever migrated."""
    found = await connection.execute("SELECT to_regclass('migrations') IS NOT NULL")
    if await found.fetchone() == (False,):
        return {}
    return dict(await (await connection.execute(_APPLIED)).fetchall())


@contextmanager
def locked(connection: Connection) -> Iterator[None]:
    """Hold the lock of all migrations; a waiting statement would block concurrent index builds."""
    while not _one(connection, "SELECT pg_try_advisory_lock(%s)", LOCK_KEY):
        time.sleep(LOCK_AGAIN_S)
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK_KEY])


def _apply(connection: Connection, migration: Migration) -> None:
    if migration.text.startswith(_NO_TRANSACTION):
        for statement in _statements(migration.text):
            _drop_unfinished(connection, statement)
            connection.execute(statement)
        _note(connection, migration)
        return
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '10s'")
        connection.execute(migration.text)
        _note(connection, migration)


def _note(connection: Connection, migration: Migration) -> None:
    connection.execute(
        "INSERT INTO migrations (number, name, sha256) VALUES (%s, %s, %s)",
        [migration.number, migration.name, migration.digest],
    )


def _statements(text: str) -> list[LiteralString]:
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [part.strip() for part in _END.split("\n".join(lines)) if part.strip()]


def _drop_unfinished(connection: Connection, statement: str) -> None:
    """Drop what a broken-off concurrent build left: it slows writes and serves nobody."""
    found = _INDEX.match(statement)
    if found is None:
        return
    invalid = "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
    if _one(connection, invalid, found[1]):
        drop = sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(found[1]))
        connection.execute(drop)


def _one(connection: Connection, query: LiteralString, argument: object) -> object:
    row = connection.execute(query, [argument]).fetchone()
    return row[0] if row else None
