"""Runs a reconciliation: reads the file, reads the books, matches; writes nothing anywhere."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec

from services.ledger.database import Database
from services.ledger.statements.classes import (
    Finding,
    Totals,
    findings,
    to_resolve,
    totals,
)
from services.ledger.statements.layout import Layout
from services.ledger.statements.matching import match, strangers
from services.ledger.statements.ours import Span, owed_by, sold_as, sold_in
from services.ledger.statements.pairs import NOBODY, How, Matches, Window
from services.ledger.statements.reading import Day, Left, Statement
from services.ledger.statements.tables import Names, Ours, Theirs
from shared.contracts.catalogue import offer_of
from shared.contracts.states import State


class Resolve(msgspec.Struct, frozen=True, kw_only=True):
    """What the statement shows of an unresolved topup, for maker and checker."""

    topup_id: str
    to: State
    how: How
    evidence: str


class Progress(msgspec.Struct):
    """How many lines and topups were read so far."""

    read: int = 0


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """A statement and the books of a day, and what they are to each other."""

    provider: str
    file: str
    day: Day
    theirs: Theirs
    ours: Ours
    left: Left
    matches: Matches
    totals: Totals
    resolves: list[Resolve]

    def findings(self) -> Iterator[Finding]:
        """Yield each line and each topup of the day in its class."""
        return findings(self.theirs, self.ours, self.matches)


class Comparison:
    """One file, one provider, one day; `progress` counts while it runs."""

    def __init__(self, provider: str, path: Path, layout: Layout, day: Day) -> None:
        self.progress = Progress()
        self._offer = offer_of(provider)
        self._path, self._layout, self._day = path, layout, day
        self._window = Window(layout.window_minutes * 60_000, layout.skew_minutes * 60_000)
        self._statement = Statement(path, layout, day, currency=self._offer.currency)
        currencies = Names()
        self._theirs, self._ours = Theirs(currencies), Ours(currencies)

    async def read_file(self) -> None:
        """Read the whole file, before anything else is asked.

        Raises:
            UnreadableStatement, OSError: it cannot be used; nothing was compared.
        """
        await asyncio.to_thread(self._read_file)

    async def run(self, database: Database, *, now_ms: int) -> Reconciliation:
        """Compare what was read with the books.

        Raises:
            psycopg.Error: the books cannot be read.
        """
        await self._read_books(database)
        return await asyncio.to_thread(self._match, now_ms)

    def _read_file(self) -> None:
        for line in self._statement.lines():
            self._theirs.append(line)
            self.progress.read += 1

    async def _read_books(self, database: Database) -> None:
        owed = owed_by(self._offer, tax_inside=self._layout.tax_inside)
        day = self._day
        span = Span(
            provider=self._offer.provider,
            near_from_ms=day.from_ms - self._window.after_ms,
            from_ms=day.from_ms,
            to_ms=day.to_ms,
            near_to_ms=day.to_ms + self._window.skew_ms,
        )
        async for sold in sold_in(database, span, owed):
            self._ours.append(sold)
            self.progress.read += 1
        named = await asyncio.to_thread(strangers, self._theirs, self._ours)
        async for sold in sold_as(database, named, span, owed):
            self._ours.append(sold)

    def _match(self, now_ms: int) -> Reconciliation:
        theirs, ours, day = self._theirs, self._ours, self._day
        matches = match(theirs, ours, self._window)
        sums = totals(theirs, ours, matches)
        assert sums.adds_up(), "each line and each topup is in exactly one class"
        before_ms = min(day.to_ms, now_ms) - self._window.after_ms
        found = to_resolve(theirs, ours, matches, before_ms=before_ms)
        return Reconciliation(
            provider=self._offer.provider,
            file=self._path.name,
            day=day,
            theirs=theirs,
            ours=ours,
            left=self._statement.left,
            matches=matches,
            totals=sums,
            resolves=[self._resolve(finding, to) for finding, to in found],
        )

    def _resolve(self, found: Finding, to: State) -> Resolve:
        said = f"statement {self._path.name} of {self._day.date}"
        if found.line == NOBODY:
            evidence = f"{said} has no line of it"
        else:
            row = self._theirs.rows[found.line]
            transaction = self._theirs.transactions[found.line] or "none"
            evidence = f"{said}, row {row}, transaction {transaction}, {found.how:d} % sure"
        return Resolve(
            topup_id=self._ours.topup_id(found.topup), to=to, how=found.how, evidence=evidence
        )
