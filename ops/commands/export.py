"""`topup export`: entries of the streams as a file, for past their retention or elsewhere."""

import asyncio
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from ops.commands.selection import Selection
from ops.files import made_new

if TYPE_CHECKING:
    from services.ledger.archive import Header
    from shared.bus.ranges import Stretch

_SUFFIX: Final = ".jsonl.gz"
_EXAMPLE: Final = f"for example: topup export --from 2026-11-01 --to 2026-12-01 november{_SUFFIX}"


def export(
    file: Path,
    /,
    *,
    selection: Selection = Selection(),  # noqa: B008 - frozen
) -> None:
    """Write entries of the streams to a new file, which `topup replay --file` reads.

    It holds phone numbers: it is made readable by its owner alone.

    Args:
        file: Its name ends in .jsonl.gz; it must not exist.
        selection: Which entries.
    """
    with made_new(file, suffix=_SUFFIX, example=_EXAMPLE) as making:
        said = asyncio.run(_export(making, selection))
    sys.stdout.write(f"exported {said} to {file}\n")


async def _export(file: IO[bytes], selection: Selection) -> str:
    from ops.commands.sources import from_streams
    from ops.progress import Pace, shown
    from services.ledger.archive import ArchiveWriter

    wanted, stretch, pace = selection.wanted(), selection.stretch(), Pace()
    async with from_streams(wanted, stretch) as source:
        writer = ArchiveWriter(file, _header(selection, stretch))
        async with shown(pace, lambda: writer.entries, total=source.total):
            async for page in source.pages:
                await asyncio.to_thread(writer.add, wanted.among(page))
            await asyncio.to_thread(writer.finish)
    selection.check_found(writer.entries)
    return pace.of(writer.entries)


def _header(selection: Selection, stretch: "Stretch") -> "Header":
    from services.ledger.archive import VERSION, Header

    return Header(
        topup_export=VERSION,
        made_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        first=stretch.first,
        last=stretch.last,
        topup=selection.topup,
        customer=selection.customer,
        provider=selection.provider,
    )
