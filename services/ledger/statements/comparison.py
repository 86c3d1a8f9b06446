"""Runs a reconciliation: reads the file, reads the books, matches; writes nothing anywhere."""

import asyncio
from collections.abc import Iterator
from hashlib import file_digest
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
from services.ledger.statements.errors import UnreadableStatement
from services.ledger.statements.layout import Layout
from services.ledger.statements.matching import match, strangers
from services.ledger.statements.ours import Span, owed_by, sold_as, sold_in
from services.ledger.statements.pairs import NOBODY, How, Matches, Window
from services.ledger.statements.reading import Day, Left, Statement
from services.ledger.statements.tables import NO_TIME, Names, Ours, Theirs
from shared.contracts.catalogue import offer_of
from shared.contracts.states import State


class Resolve(msgspec.Struct, frozen=True, kw_only=True):
    """What the statement shows of an unresolved topup, for maker and checker.

    `asked_at_ms`: until when the statement speaks, where its silence is what shows it.
    """

    topup_id: str
    to: State
    how: How
    evidence: str
    asked_at_ms: int | None = None


class Progress(msgspec.Struct):
    """How many lines and topups were read so far."""

    read: int = 0


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """A statement and the books of a day, and what they are to each other."""

    provider: str
    file: str
    file_sha256: str
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
        self._sha256 = ""

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
        before = self._path.stat()
        for line in self._statement.lines():
            self._theirs.append(line)
            self.progress.read += 1
        with self._path.open("rb") as file:
            self._sha256 = file_digest(file, "sha256").hexdigest()
        after = self._path.stat()
        if (before.st_ino, before.st_size, before.st_mtime_ns) != (
            after.st_ino, after.st_size, after.st_mtime_ns,
        ):  # fmt: skip
            raise UnreadableStatement("it was changed while it was read")

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
        spoke_until_ms = self._spoke_until_ms()
        before_ms = min(spoke_until_ms, now_ms) - self._window.after_ms
        found = to_resolve(theirs, ours, matches, before_ms=before_ms)
        return Reconciliation(
            provider=self._offer.provider,
            file=self._path.name,
            file_sha256=self._sha256,
            day=day,
            theirs=theirs,
            ours=ours,
            left=self._statement.left,
            matches=matches,
            totals=sums,
            resolves=[self._resolve(finding, to, spoke_until_ms) for finding, to in found],
        )

    def _spoke_until_ms(self) -> int:
        """Return until when a sale would stand in it: to its last line, at most to the day's end.

        Whoever copies or downloads a file gives it another time: only its lines tell when it was
        made. One without times does not say, and its silence shows nothing.
        """
        last_ms = max((at_ms for at_ms in self._theirs.at_ms if at_ms != NO_TIME), default=0)
        return min(self._day.to_ms, last_ms - self._window.skew_ms)

    def _resolve(self, found: Finding, to: State, spoke_until_ms: int) -> Resolve:
        said = f"statement {self._path.name} of {self._day.date}"
        if found.line == NOBODY:
            evidence = f"{said} has no line of it"
        else:
            row = self._theirs.rows[found.line]
            transaction = self._theirs.transactions[found.line] or "none"
            evidence = f"{said}, row {row}, transaction {transaction}, {found.how:d} % sure"
        return Resolve(
            topup_id=self._ours.topup_id(found.topup),
            to=to,
            how=found.how,
            evidence=f"{_plain(evidence)}; the file's SHA-256 is {self._sha256}",
            asked_at_ms=spoke_until_ms if found.line == NOBODY else None,
        )


def _plain(text: str) -> str:
    """Return it on one line, whatever is in the name of a file or in a cell."""
    return "".join(each if each.isprintable() else "?" for each in text)
