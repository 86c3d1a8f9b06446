"""Is the ledger's database reachable, durable, up to date and quick to find things."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, Final

import psycopg

from ops.checks.finding import Finding
from ops.connections import setting
from services.ledger.migrations import missing, shipped
from shared.contracts.errors import TopupError
from shared.runtime.clock import SystemClock

_CONNECT_S_MAX: Final = 5
_POOL: Final = "100"
_LOOKS: Final = 9
_LOOK_MS_MAX: Final = 10
_LOOK: Final = "SELECT relname FROM pg_class WHERE oid = 'pg_class'::regclass"
_INVALID_INDEXES: Final = """
    SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE NOT i.indisvalid ORDER BY 1
"""


def check_database(environ: Mapping[str, str]) -> Iterable[Finding]:
    """Look at DATABASE_URL."""
    url = setting("DATABASE_URL", environ)
    if url is None:
        return
    try:
        with psycopg.connect(url, connect_timeout=_CONNECT_S_MAX, autocommit=True) as connection:
            yield _durable(connection)
            yield _room(connection, setting("DATABASE_POOL_SIZE", environ) or _POOL)
            yield _indexes(connection)
            yield _schema(connection)
            yield _quick(connection)
    except psycopg.Error as problem:
        said = str(problem).strip().splitlines()[0]
        yield Finding("database", f"cannot be used: {said}", "start it, or correct DATABASE_URL")


def _durable(connection: psycopg.Connection[Any]) -> Finding:
    names = ("fsync", "synchronous_commit", "full_page_writes")
    off = [name for name in names if _show(connection, name) == "off"]
    if not off:
        return Finding("database", "every commit is on disk")
    return Finding(
        "database", f"{', '.join(off)} off: a crash may lose bookings", "switch it on in the server"
    )


def _room(connection: psycopg.Connection[Any], pool: str) -> Finding:
    most = int(_show(connection, "max_connections"))
    if not pool.isdigit() or most > int(pool):  # a wrong size is told by its own check
        return Finding("connections", f"{most}, {pool} for each ledger")
    return Finding(
        "connections",
        f"the server takes {most}, one ledger asks for {pool}",
        "raise max_connections there, or lower DATABASE_POOL_SIZE",
    )


def _indexes(connection: psycopg.Connection[Any]) -> Finding:
    invalid = [row[0] for row in connection.execute(_INVALID_INDEXES)]
    if not invalid:
        return Finding("indexes", "all valid")
    return Finding(
        "indexes",
        f"{', '.join(invalid)} was never finished",
        "run `topup migrate`, or REINDEX INDEX CONCURRENTLY it",
    )


def _quick(connection: psycopg.Connection[Any]) -> Finding:
    """Time what a merchant's question costs at least: one row by its key, there and back."""
    clock, took_ms = SystemClock(), []
    for _ in range(_LOOKS):
        before = clock.monotonic()
        connection.execute(_LOOK)
        took_ms.append((clock.monotonic() - before) * 1_000)
    found = f"one row is found in {median(took_ms):.1f} ms"
    if median(took_ms) <= _LOOK_MS_MAX:
        return Finding("database time", found)
    return Finding(
        "database time",
        f"{found}, over {_LOOK_MS_MAX} ms",
        "bring it nearer to the ledgers, or see what else keeps it busy",
    )


def _schema(connection: psycopg.Connection[Any]) -> Finding:
    try:
        applied = dict(connection.execute("SELECT number, sha256 FROM migrations").fetchall())
    except psycopg.errors.UndefinedTable:
        applied = {}
    try:
        pending = missing(applied, shipped())
    except TopupError as problem:
        return Finding("schema", str(problem), "put the file back as it was")
    if not pending:
        return Finding("schema", "up to date")
    names = ", ".join(migration.name for migration in pending)
    return Finding("schema", f"not yet applied: {names}", "run `topup migrate`")


def _show(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    return str(row[0]) if row else ""
