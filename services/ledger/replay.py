"""Books entries again that were read from the streams or a file, and says what that changed.

It writes to the books alone: nothing is put on a stream, acknowledged or sent.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, Protocol

import msgspec
import psycopg

from services.ledger.books import Booked
from services.ledger.database import said
from services.ledger.entries import Outcome, Request
from services.ledger.sheets import UNBOOKABLE, read_sheet
from shared.bus.reader import Entry
from shared.contracts.acts import Act
from shared.contracts.events import AUTO, TopupRequested, decode_request
from shared.contracts.streams import PartitionKeys, brings_outcomes, partition_of
from shared.runtime.background import end

PAGE_ENTRIES: Final = 1_000
AT_ONCE: Final = 3
"""Pages in hand: while the database books one, others are read and compared."""


class Bookable(Protocol):
    """The books, or copies to rehearse on."""

    async def unknown(
        self, requests: Sequence[Request], outcomes: Sequence[Outcome]
    ) -> tuple[list[Request], list[Outcome]]:
        """Return those that are not booked just as they are."""
        ...

    async def book(self, requests: Sequence[Request], outcomes: Sequence[Outcome]) -> Booked:
        """Book what is not booked yet."""
        ...


class Chained(Protocol):
    """The audit, or what rehearses it."""

    async def lacking(self, acts: Sequence[Act]) -> list[Act]:
        """Return those that are not in it."""
        ...

    async def book(self, acts: Sequence[Act]) -> int:
        """Append what is not in it, in this order; return how many that were."""
        ...


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Whose entries; all that is given must fit, and nothing given takes every entry."""

    topup_id: str | None = None
    customer_id: str | None = None
    provider: str | None = None

    def streams(self, partitions: int, providers: Sequence[str]) -> Iterator[str]:
        """Name where such entries can lie: outcomes first, for they make a topup's row at once."""
        places = range(partitions)
        if self.customer_id is not None:
            places = range(place := partition_of(self.customer_id, partitions), place + 1)
        for names in map(PartitionKeys, places):
            yield names.outcomes
            for provider in [self.provider] if self.provider else providers:
                yield names.requests(provider)

    def among(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return the entries that fit."""
        if self.topup_id is not None:
            wanted = self.topup_id.encode()
            entries = [entry for entry in entries if entry.fields.get("id") == wanted]
        if self.customer_id is None and self.provider is None:
            return entries
        return [entry for entry in entries if self._fits(entry)]

    def _fits(self, entry: Entry) -> bool:
        try:
            body = decode_request(entry.fields.get("body", b""))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False  # nobody can say whose it is
        return self.customer_id in (None, body.customer_id) and self.provider in (
            None,
            _lane_of(entry, body),
        )


def _lane_of(entry: Entry, body: TopupRequested) -> str:
    """Return the provider that the entry is about: with AUTO the body has several."""
    if body.route is None:
        return body.provider
    if not brings_outcomes(entry.stream):
        return entry.stream.rpartition(":")[2]
    return entry.fields.get("provider", AUTO.encode()).decode(errors="replace")


class Changes(msgspec.Struct, kw_only=True):
    """What was read so far, what of it was wanted, and what it was to the books."""

    read: int = 0
    wanted: int = 0
    requests: int = 0
    outcomes: int = 0
    set_aside: int = 0
    unreadable: int = 0
    acts: int = 0
    example: str | None = None  # of an unreadable one: stream, id and reason


class Replay:
    """One run; `changes` is true to life while it runs."""

    def __init__(
        self, books: Bookable, wanted: Wanted, changes: Changes, *, chain: Chained | None = None
    ) -> None:
        self._books = books
        self._chain = chain  # none where no acts are among the entries
        self._wanted = wanted
        self._changes = changes

    async def run(self, pages: AsyncIterator[list[Entry]]) -> None:
        """Book all pages in their order: of entries that contradict each other the first counts.

        Raises:
            psycopg.Error: each page is booked as a whole or not at all; it may be run again.
        """
        in_hand: deque[asyncio.Task[None]] = deque()
        try:
            async for page in pages:
                if len(in_hand) >= AT_ONCE:
                    await in_hand[0]
                    del in_hand[0]
                before = in_hand[-1] if in_hand else None
                in_hand.append(asyncio.create_task(self._page(page, before)))
            for task in in_hand:
                await task
        finally:
            await end(in_hand)

    async def _page(self, page: Sequence[Entry], before: asyncio.Task[None] | None) -> None:
        wanted = self._wanted.among(page)
        await self._book(wanted, before)
        self._changes.read += len(page)
        self._changes.wanted += len(wanted)

    async def _book(
        self, entries: Sequence[Entry], before: asyncio.Task[None] | None = None
    ) -> None:
        sheet = read_sheet(entries)
        try:
            new = await self._books.unknown(sheet.requests, sheet.outcomes)
            if before is not None:
                await asyncio.wait([before])
            booked = await self._books.book(*new) if any(new) else Booked()
            self._changes.acts += await self._append(sheet.acts)
        except UNBOOKABLE as problem:
            await self._book_apart(entries, problem)
            return
        self._changes.requests += booked.requests
        self._changes.outcomes += booked.outcomes
        self._changes.set_aside += booked.set_aside
        for entry, reason in sheet.unreadable:
            self._leave(entry, reason)

    async def _append(self, acts: Sequence[Act]) -> int:
        if not acts or self._chain is None:
            return 0
        lacking = await self._chain.lacking(acts)
        return await self._chain.book(lacking) if lacking else 0

    async def _book_apart(self, entries: Sequence[Entry], problem: psycopg.Error) -> None:
        """Find the entry that the database refuses, by halves, and leave it out alone."""
        if len(entries) == 1:
            self._leave(entries[0], said(problem))
            return
        middle = len(entries) // 2
        await self._book(entries[:middle])
        await self._book(entries[middle:])

    def _leave(self, entry: Entry, reason: str) -> None:
        self._changes.unreadable += 1
        self._changes.example = self._changes.example or f"{entry.stream} {entry.id}: {reason}"
