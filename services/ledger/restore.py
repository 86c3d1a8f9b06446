"""Brings a backup into an empty database: all of it, to the digest, or nothing.

The schema is made as it was when the backup was made, then the rows are loaded in one transaction,
then come the migrations since: they treat the rows as they would have where they came from.
"""

import asyncio
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final, Self
from zipfile import BadZipFile, ZipFile

import msgspec
from psycopg import sql

from services.ledger.audit import digest_of
from services.ledger.backup import (
    MANIFEST,
    PIECE_BYTES,
    VERSION,
    KeptTable,
    Manifest,
    tables_of,
    take_time,
)
from services.ledger.chain import append
from services.ledger.database import Connection, Database
from services.ledger.migrations import Migration, applied, migrate, missing, shipped
from shared.contracts.acts import act_done
from shared.contracts.errors import TopupError

MANIFEST_BYTES_MAX: Final = 4 * 1024 * 1024
_BROKEN: Final = (BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError)
_AN_EMPTY_ONE: Final = "restore into an empty database"


class NotABackup(TopupError):
    """The file is something else, another version, damaged, or half of one; load none of it."""

    code = "not_a_backup"


class NotRestored(TopupError):
    """The database is not one for this backup, or did not take it as it was; it has none of it."""

    code = "not_restored"


class _Version(msgspec.Struct):
    topup_backup: int


class BackupFile:
    """A backup to read from; `rows` of it were looked at so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zipped: ZipFile
        self.manifest: Manifest
        self.rows = 0

    def __enter__(self) -> Self:
        """Open it and read what it has.

        Raises:
            NotABackup: it is none.
            OSError: it cannot be read.
        """
        try:
            self._zipped = ZipFile(self._path)
        except _BROKEN as problem:
            raise NotABackup(f"it is no zip file, or half of one ({problem})") from None
        try:
            self.manifest = self._read_manifest()
        except BaseException:
            self._zipped.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._zipped.close()

    async def check(self) -> None:
        """Look at all of it: each member is what was written; raises NotABackup, OSError."""
        for table in self.manifest.tables:
            rows, summed = 0, sha256()
            for piece in self.pieces(table):
                await asyncio.to_thread(summed.update, piece)
                rows += (more := piece.count(b"\n"))
                self.rows += more
            if (rows, summed.hexdigest()) != (table.rows, table.sha256):
                raise NotABackup(f"its table {table.name} is not what was written: it was altered")

    def pieces(self, table: KeptTable) -> Iterator[bytes]:
        """Yield a table's rows, cut anywhere; raises NotABackup, OSError."""
        try:
            with self._zipped.open(table.member) as member:
                while piece := member.read(PIECE_BYTES):
                    yield piece
        except _BROKEN as problem:
            raise NotABackup(f"its table {table.name} is damaged ({problem})") from None

    def _read_manifest(self) -> Manifest:
        try:
            with self._zipped.open(MANIFEST) as member:
                text = member.read(MANIFEST_BYTES_MAX)
            version = msgspec.json.decode(text, type=_Version).topup_backup
            if version == VERSION:
                return msgspec.json.decode(text, type=Manifest)
        except (*_BROKEN, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise NotABackup("it has no manifest of a topup backup") from None
        raise NotABackup(f"it is of version {version}; this topup reads version {VERSION}")


class Restore:
    """One run of a backup that was checked; `rows` is true to life while it runs."""

    def __init__(self, database: Database, url: str, backup: BackupFile) -> None:
        self._database = database
        self._url = url
        self._backup = backup
        self.rows = 0

    async def check(self) -> None:
        """Look whether the database could take it; changes nothing.

        Raises:
            NotRestored: it has something already, or this version does not know the schema.
            MigrationRefused: a migration is not what it was.
            psycopg.Error: it does not answer.
        """
        self._before()
        known = {one.number for one in self._backup.manifest.migrations}
        async with self._database.session() as session, session.transaction():
            later = set(await applied(session)) - known
            if later:
                raise NotRestored(
                    f"the database's schema is newer than the backup's ({max(later):04}): "
                    f"{_AN_EMPTY_ONE}, without a schema"
                )
            await _check_empty(session)

    async def run(self, *, by: str, file: str, now_ms: int) -> None:
        """Make the schema, load all rows, and write down who did it.

        Raises:
            NotRestored, MigrationRefused, psycopg.Error: as `check`; there are no rows of it.
            NotABackup, OSError: the file changed meanwhile; likewise.
        """
        ours = shipped()
        await asyncio.to_thread(migrate, self._url, self._before(), say=_silent)
        manifest = self._backup.manifest
        async with self._database.session() as session, session.transaction():
            await take_time(session)
            await _check_empty(session)
            for table in manifest.tables:
                await self._load(session, table)
            if len(ours) == len(manifest.migrations):  # else the digest is of another schema
                await _check_digest(session, manifest.digest)
            told = {"made_at": manifest.made_at, "rows": manifest.rows, "digest": manifest.digest}
            act = act_done(by, "books.restore", file, at_ms=now_ms, before=None, after=told)
            await append(session, [act])
        await asyncio.to_thread(migrate, self._url, ours, say=_silent)

    async def _load(self, session: Connection, table: KeptTable) -> None:
        into = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns))
        )
        cursor, before = session.cursor(), self.rows
        async with cursor.copy(into) as copy:
            for piece in self._backup.pieces(table):
                await copy.write(piece)
                self.rows += piece.count(b"\n")
        if cursor.rowcount != table.rows or self.rows - before != table.rows:
            raise NotRestored(f"{table.name} took {cursor.rowcount} of {table.rows} rows")

    def _before(self) -> list[Migration]:
        """Return the migrations that the backup's schema had."""
        known = {one.number: one.sha256 for one in self._backup.manifest.migrations}
        ours = shipped()
        unknown = sorted(known.keys() - {one.number for one in ours})
        if unknown:
            raise NotRestored(
                f"the backup was made by a later version, with the migration {unknown[-1]:04}: "
                "restore it with that version"
            )
        missing(known, ours)
        return [migration for migration in ours if migration.number in known]


async def _check_empty(session: Connection) -> None:
    for name, _ in await tables_of(session):
        found = await session.execute(
            sql.SQL("SELECT FROM {} LIMIT 1").format(sql.Identifier(name))
        )
        if await found.fetchone() is not None:
            raise NotRestored(
                f"the database is not empty, its table {name} has rows: {_AN_EMPTY_ONE}"
            )


async def _check_digest(session: Connection, wanted: str) -> None:
    found = await digest_of(session)
    if found != wanted:
        raise NotRestored(f"the books came to the digest {found}, not to {wanted}")


def _silent(_text: str) -> None:
    """The migrations of a backup are no news."""
