"""`topup backup`: the whole database as one file, taken while everything runs."""

import asyncio
import sys
import time
from pathlib import Path
from typing import IO, Final

from ops.errors import CommandFailed
from ops.files import made_new

_SUFFIX: Final = ".zip"
_EXAMPLE: Final = "for example: topup backup books-2026-11-24.zip"


def backup(file: Path, /) -> None:
    """Write all of the database to a new file, which `topup restore` reads.

    Books, customers, the digests of keys, operators, audit and proposals, as they are at one
    moment. It holds phone numbers: it is made readable by its owner alone.

    Args:
        file: Its name ends in .zip; it must not exist.
    """
    with made_new(file, suffix=_SUFFIX, example=_EXAMPLE) as making:
        said = asyncio.run(_backup(making))
    sys.stdout.write(f"backed up {said} to {file}\n")


async def _backup(file: IO[bytes]) -> str:
    from ops.books import open_database
    from ops.progress import Pace, shown
    from services.ledger.backup import Backup, NotKept

    pace = Pace("rows")
    async with open_database() as database:
        run = Backup(database)
        async with shown(pace, lambda: run.rows, total=None):
            try:
                manifest = await run.write(file, made_at=_now())
            except NotKept as problem:
                raise CommandFailed(str(problem)) from None
    return f"{pace.of(manifest.rows)} of {len(manifest.tables)} tables, digest {manifest.digest},"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
