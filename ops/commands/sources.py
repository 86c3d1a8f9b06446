"""Where entries to replay come from: a stretch of the streams that run, or a file."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from ops.errors import CommandFailed
from ops.streams import open_streams
from services.ledger.archive import NotAnArchive, read_archive
from services.ledger.replay import PAGE_ENTRIES, Wanted
from shared.bus.ranges import Stretch, pages
from shared.bus.reader import Entry
from shared.contracts.catalogue import OFFERS


class Source(NamedTuple):
    """Pages of entries, and how many entries there are at most."""

    pages: AsyncIterator[list[Entry]]
    total: int


@asynccontextmanager
async def from_streams(
    wanted: Wanted, stretch: Stretch, *, acts: bool = False
) -> AsyncIterator[Source]:
    """Yield what the streams have of it; acts too, where no topups are chosen.

    Raises:
        CommandFailed: there are no streams, or they do not answer.
    """
    async with open_streams() as streams:
        names = list(wanted.streams(len(streams.topups.keys), list(OFFERS)))
        if acts and wanted == Wanted():
            names += [names_of.acts for names_of in streams.topups.keys]
        total = sum([await streams.client.xlen(name) for name in names])
        found = pages(streams.client, names, stretch, count_max=PAGE_ENTRIES)
        yield Source(found, total)


@asynccontextmanager
async def from_file(path: Path, stretch: Stretch) -> AsyncIterator[Source]:
    """Yield what the file has of it, once the whole file was looked at.

    Raises:
        CommandFailed: it cannot be read, or is not whole.
    """
    try:
        total = 0
        async for page in _pages(path):
            total += len(page)
        yield Source(_within(_pages(path), stretch), total)
    except NotAnArchive as problem:
        raise CommandFailed(
            f"{path}: {problem}; for example: topup replay --file july.jsonl.gz", status=2
        ) from None
    except OSError as problem:
        raise CommandFailed(
            f"{path} cannot be read: {problem.strerror}; "
            "for example: topup replay --file july.jsonl.gz",
            status=2,
        ) from None


async def _pages(path: Path) -> AsyncIterator[list[Entry]]:
    for page in read_archive(path, count_max=PAGE_ENTRIES):
        yield page
        await asyncio.sleep(0)  # so that Ctrl-C and the progress have their turn


async def _within(
    found: AsyncIterator[list[Entry]], stretch: Stretch
) -> AsyncIterator[list[Entry]]:
    async for page in found:
        yield [entry for entry in page if stretch.holds(entry.id)]
