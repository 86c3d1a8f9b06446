"""`topup replay`: book again what lies on the streams or in a file, while everything runs."""

import asyncio
import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from ops.commands.selection import Selection
from ops.errors import CommandFailed

if TYPE_CHECKING:
    from ops.commands.sources import Source
    from services.ledger.database import Database
    from services.ledger.replay import Bookable, Chained

_INTERRUPTED: Final = 130


def replay(
    *,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    file: Path | None = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Feed entries to the ledger's books again, and say what that changed; it never pays.

    Args:
        selection: Which entries.
        file: Read what `topup export` wrote, instead of the streams.
        dry_run: Say what would change, and change nothing.
    """
    run = _Run(selection, file, dry_run=dry_run)
    try:
        asyncio.run(run.run())
    except KeyboardInterrupt:
        raise CommandFailed(f"interrupted {run.how_far()}", status=_INTERRUPTED) from None


class _Run:
    def __init__(self, selection: Selection, file: Path | None, *, dry_run: bool) -> None:
        from services.ledger.replay import Changes

        self._selection = selection
        self._wanted, self._stretch = selection.wanted(), selection.stretch()
        self._file = file
        self._dry_run = dry_run
        self._changes = Changes()

    async def run(self) -> None:
        from ops.books import open_database
        from services.ledger.replay import AT_ONCE

        async with (
            self._source() as source,
            open_database(connections_max=AT_ONCE) as database,
            self._books(database) as books,
        ):
            await self._book(source, books, self._acts(database))

    def how_far(self) -> str:
        """Return what can be said when it stops too early."""
        kept = "nothing was changed" if self._dry_run else f"{self._said()} stay booked"
        return f"after {self._changes.read:,} entries; {kept}; it can be run again"

    async def _book(self, source: "Source", books: "Bookable", chain: "Chained") -> None:
        from ops.progress import Pace, shown
        from services.ledger.replay import Replay

        pace = Pace()
        async with shown(pace, lambda: self._changes.read, total=source.total):
            replay = Replay(books, self._wanted, self._changes, chain=chain)
            await replay.run(source.pages)
        self._selection.check_found(self._changes.wanted)
        verb = "rehearsed" if self._dry_run else "replayed"
        would = "would be " if self._dry_run else ""
        read, wanted = self._changes.read, self._changes.wanted
        of = "" if wanted == read else f"{wanted:,} of "
        sys.stdout.write(f"{verb} {of}{pace.of(read)}: {would}{self._said()}\n")
        if self._changes.example:
            sys.stdout.write(f"unreadable, for example: {self._changes.example}\n")

    def _said(self) -> str:
        found = self._changes
        return (
            f"{found.requests:,} new requests, {found.outcomes:,} new outcomes, "
            f"{found.set_aside:,} set aside, {found.unreadable:,} unreadable, "
            f"{found.acts:,} new acts"
        )

    def _source(self) -> AbstractAsyncContextManager["Source"]:
        from ops.commands.sources import from_file, from_streams

        if self._file is not None:
            return from_file(self._file, self._stretch)
        return from_streams(self._wanted, self._stretch, acts=True)

    def _acts(self, database: "Database") -> "Chained":
        from services.ledger.chain import Chain
        from services.ledger.rehearsal import RehearsedActs

        chain = Chain(database)
        return RehearsedActs(chain) if self._dry_run else chain

    def _books(self, database: "Database") -> AbstractAsyncContextManager["Bookable"]:
        from services.ledger.books import Books
        from services.ledger.rehearsal import Rehearsal

        return Rehearsal.on(database) if self._dry_run else nullcontext(Books(database))
