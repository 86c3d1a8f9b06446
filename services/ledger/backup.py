"""The whole database as one zip file: the rows of each table, and a manifest that makes it whole.

Each table is a member `<table>.copy` in PostgreSQL's own text form of COPY, in UTF-8. The manifest
is the last member, `manifest.json`: without it the file is half of one. The schema is not in it:
the manifest names the migrations that make it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from hashlib import sha256
from typing import IO, Final
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec
from psycopg import AsyncCopy, sql

from services.ledger.audit import digest_of, see_one_moment
from services.ledger.database import Connection, Database
from services.ledger.migrations import shipped
from services.ledger.queries import queries
from shared.contracts.errors import TopupError

VERSION: Final = 1
MANIFEST: Final = "manifest.json"
PIECE_BYTES: Final = 1024 * 1024
_MADE: Final = re.compile(r"^CREATE TABLE (\w+)", re.MULTILINE)
_LEVEL: Final = 3  # half the time of 6, and a tenth more bytes


class NotKept(TopupError):
    """There is more than this version would keep; the file is none."""

    code = "not_kept"


class KeptTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table: how many rows its member has, and the member's SHA-256."""

    name: str
    columns: tuple[str, ...]
    rows: int
    sha256: str

    @property
    def member(self) -> str:
        """Its name in the zip file."""
        return f"{self.name}.copy"


class KeptMigration(msgspec.Struct, frozen=True, kw_only=True):
    """One migration that the schema had."""

    number: int
    name: str
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the file has; tables stand behind those that they refer to."""

    topup_backup: int
    made_at: str
    digest: str
    migrations: tuple[KeptMigration, ...]
    tables: tuple[KeptTable, ...]

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables)


class Backup:
    """One run; `rows` is true to life while it runs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.rows = 0

    async def write(self, file: IO[bytes], *, made_at: str) -> Manifest:
        """Write all rows as they are at one moment, while ledgers go on booking.

        Raises:
            NotKept: the schema is of a later version.
            psycopg.Error, OSError: what is written is half of a backup.
        """
        async with self._database.session() as session, session.transaction():
            await see_one_moment(session)
            await take_time(session)
            migrations = await _migrations(session)
            with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=_LEVEL) as zipped:
                tables = [
                    await self._copy(session, zipped, name, columns)
                    for name, columns in await tables_of(session)
                ]
                manifest = Manifest(
                    topup_backup=VERSION,
                    made_at=made_at,
                    digest=await digest_of(session),
                    migrations=migrations,
                    tables=tuple(tables),
                )
                zipped.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        return manifest

    async def _copy(
        self, session: Connection, zipped: ZipFile, name: str, columns: Sequence[str]
    ) -> KeptTable:
        rows, summed = 0, sha256()
        wanted = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(name)
        )
        with zipped.open(f"{name}.copy", "w", force_zip64=True) as member:
            async with session.cursor().copy(wanted) as copy:
                async for piece in _pieces(copy):
                    await asyncio.to_thread(member.write, piece)
                    summed.update(piece)
                    rows += (more := piece.count(b"\n"))  # in a value it is written as \n
                    self.rows += more
        return KeptTable(name=name, columns=tuple(columns), rows=rows, sha256=summed.hexdigest())


async def take_time(session: Connection) -> None:
    """Let the transaction last as long as there are rows, whatever the role's default is."""
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
        await session.execute("SELECT set_config(%s, '0', true)", [limit])
    for form, value in {"datestyle": "ISO", "bytea_output": "hex"}.items():
        await session.execute("SELECT set_config(%s, %s, true)", [form, value])


async def tables_of(session: Connection) -> list[tuple[str, list[str]]]:
    """Return each table of ours with its columns, behind those that it refers to."""
    ours = {name for migration in shipped() for name in _MADE.findall(migration.text)}
    rows = await (await session.execute(queries()["tables_kept"])).fetchall()
    tables = {name: columns for name, columns in rows if name in ours}
    found = await (await session.execute(queries()["references_kept"])).fetchall()
    return [(name, tables[name]) for name in in_order(tables, found)]


def in_order(tables: Mapping[str, object], found: Iterable[tuple[str, str]]) -> list[str]:
    """Return the names so that each stands behind those that it refers to."""
    sorter = TopologicalSorter[str](dict.fromkeys(tables, ()))
    for referring, referred in found:
        if referring in tables and referred in tables:
            sorter.add(referring, referred)
    return list(sorter.static_order())


async def _migrations(session: Connection) -> tuple[KeptMigration, ...]:
    rows = await (await session.execute(queries()["migrations_kept"])).fetchall()
    found = [KeptMigration(number=number, name=name, sha256=found) for number, name, found in rows]
    later = {one.number for one in found} - {one.number for one in shipped()}
    if later:
        raise NotKept(
            f"the schema has the migration {max(later):04}, which this version does not know: "
            "back it up with the version that runs"
        )
    return tuple(found)


async def _pieces(copy: AsyncCopy) -> AsyncIterator[bytes]:
    """Yield whole rows, gathered: the server gives one at a time."""
    rows: list[bytes | bytearray | memoryview] = []
    size = 0
    async for row in copy:
        rows.append(row)
        size += len(row)
        if size >= PIECE_BYTES:
            yield b"".join(rows)
            rows, size = [], 0
    yield b"".join(rows)
