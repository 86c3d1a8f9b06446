"""`topup restore`: a backup into an empty database, all of it or nothing."""

import asyncio
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ops.confirm import confirmed
from ops.errors import CommandFailed
from ops.files import readable
from ops.flags import DryRun, Yes

if TYPE_CHECKING:
    from services.ledger.backup import Manifest
    from services.ledger.restore import BackupFile, Restore

_EXAMPLE: Final = "for example: topup restore books-2026-11-24.zip --dry-run"
_EMPTY: Final = (
    "for example: createdb topup_new, then "
    "DATABASE_URL=postgresql://owner:password@127.0.0.1:5432/topup_new topup restore books.zip"
)
_NEXT: Final = (
    "what came since lies on the streams: run `topup replay`, before any ledger starts on these "
    "books; then `topup ledger verify` and `topup doctor`\n"
)
_INTERRUPTED: Final = 130


def restore(file: Path, /, *, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Bring a backup into the empty database of DATABASE_URL, with the schema that it had.

    The whole file is looked at before anything is changed.

    Args:
        file: What `topup backup` wrote.
        yes: Do not ask.
        dry_run: Say what would be done, and do nothing.
    """
    from services.ledger.restore import BackupFile, NotABackup

    try:
        with readable(str(file), example=_EXAMPLE), BackupFile(file) as backup:
            asyncio.run(_restore(backup, file.name, yes=yes, dry_run=dry_run))
    except NotABackup as problem:
        raise CommandFailed(f"{file}: {problem}; {_EXAMPLE}", status=2) from None
    except KeyboardInterrupt:
        raise CommandFailed(
            "interrupted: the database has no row of it; it can be run again", status=_INTERRUPTED
        ) from None


async def _restore(backup: "BackupFile", name: str, *, yes: bool, dry_run: bool) -> None:
    from ops.books import database_address, open_database
    from ops.progress import Pace, shown
    from services.ledger.restore import NotRestored, Restore
    from shared.contracts.errors import TopupError

    manifest = backup.manifest
    async with shown(Pace("rows"), lambda: backup.rows, total=manifest.rows):
        await backup.check()
    url = database_address()
    async with open_database() as database:
        run = Restore(database, url, backup)
        try:
            await run.check()
            if confirmed(_what(manifest), yes=yes, dry_run=dry_run):
                await _run(run, manifest, name)
        except NotRestored as problem:
            raise CommandFailed(f"{problem}; {_EMPTY}", status=2) from None
        except TopupError as problem:
            raise CommandFailed(str(problem)) from None


async def _run(run: "Restore", manifest: "Manifest", name: str) -> None:
    from ops.progress import Pace, shown
    from shared.runtime.clock import SystemClock

    pace = Pace("rows")
    async with shown(pace, lambda: run.rows, total=manifest.rows):
        await run.run(by=f"cli:{getpass.getuser()}", file=name, now_ms=SystemClock().now_ms())
    sys.stdout.write(
        f"restored {pace.of(manifest.rows)} of {len(manifest.tables)} tables, as they were at "
        f"{manifest.made_at}, digest {manifest.digest}\n{_NEXT}"
    )


def _what(manifest: "Manifest") -> str:
    return (
        f"bring {manifest.rows:,} rows of {len(manifest.tables)} tables, as they were at "
        f"{manifest.made_at}, into this empty database"
    )
