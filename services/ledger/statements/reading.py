"""From a provider's file to the lines of a statement; one wrong row refuses the whole file."""

import datetime as dt
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from services.ledger.statements import textfile
from services.ledger.statements.cells import Moments, amount_reader, phone_reader, topup_id
from services.ledger.statements.errors import UnreadableStatement
from services.ledger.statements.heads import Head, find_head, known
from services.ledger.statements.layout import Layout
from services.ledger.statements.tables import NO_ID, NO_PHONE, NO_TIME, Line
from services.ledger.statements.workbook import Workbook
from shared.contracts.money import EXPONENTS

BYTES_MAX: Final = 1 << 30
ROWS_MAX: Final = 3_000_000
_HEAD_ROWS: Final = 20
_ZIP: Final = b"PK"
_OLD_WORKBOOK: Final = b"\xd0\xcf\x11\xe0"
_NAME_CHARACTERS_MAX: Final = 128

Rows = Iterator[tuple[int, list[str]]]


class Day(msgspec.Struct, frozen=True):
    """A day of a time zone; milliseconds since the epoch, the end is not in it."""

    date: dt.date
    timezone: str

    @property
    def from_ms(self) -> int:
        """When it begins."""
        return self._midnight_ms(self.date)

    @property
    def to_ms(self) -> int:
        """When the next one begins."""
        return self._midnight_ms(self.date + dt.timedelta(days=1))

    def _midnight_ms(self, date: dt.date) -> int:
        return round(
            dt.datetime.combine(date, dt.time(), ZoneInfo(self.timezone)).timestamp() * 1_000
        )


class Left(msgspec.Struct):
    """Rows of the file that are no lines of the day, and why; `read` are all."""

    read: int = 0
    other_days: int = 0
    not_paid: int = 0


class Statement:
    """A file, its layout and a day; `left` counts while the lines are read."""

    def __init__(self, path: Path, layout: Layout, day: Day, *, currency: str) -> None:
        self.left = Left()
        self._path, self._layout, self._day = path, layout, day
        self._currency = currency

    def lines(self) -> Iterator[Line]:
        """Yield the paid lines of the day, and those near its ends, which do not count.

        Raises:
            UnreadableStatement: one clear sentence about the file.
            OSError: it cannot be read.
        """
        kind = _kind(self._path)
        if kind == "text":
            layout = self._layout
            found = textfile.rows(
                self._path,
                separator=layout.separator,
                encoding=layout.encoding,
                known=lambda cells: known(cells, layout),
            )
            yield from self._lines(found, since_1904=False)
            return
        with Workbook(self._path) as workbook:
            found = workbook.rows(self._layout.sheet)
            yield from self._lines(found, since_1904=workbook.since_1904)

    def _lines(self, rows: Rows, *, since_1904: bool) -> Iterator[Line]:
        first = list(islice(rows, self._layout.header_row or _HEAD_ROWS))
        head, place = find_head(first, self._layout)
        read = _Reader(
            head, self._layout, self._day, self.left,
            currency=self._currency, since_1904=since_1904,
        ).line  # fmt: skip
        for number, cells in self._bodies(chain(first[place + 1 :], rows)):
            self.left.read += 1
            if self.left.read > ROWS_MAX:
                raise UnreadableStatement(f"it has over {ROWS_MAX:,} rows: split it by day")
            try:
                line = read(number, cells)
            except ValueError as problem:
                raise UnreadableStatement(f"row {number}: {problem}") from None
            if line is not None:
                yield line
        if self.left.read == 0:
            raise UnreadableStatement("it has a header and no row below it")

    def _bodies(self, rows: Rows) -> Rows:
        """Yield the rows that hold anything, without those at the foot."""
        filled = (row for row in rows if any(row[1]))
        if self._layout.footer_rows == 0:
            yield from filled
            return
        kept: deque[tuple[int, list[str]]] = deque()
        for row in filled:
            kept.append(row)
            if len(kept) > self._layout.footer_rows:
                yield kept.popleft()


class _Reader:
    """Makes a line of a row, or counts why it is none of the day."""

    def __init__(
        self, head: Head, layout: Layout, day: Day, left: Left, *, currency: str, since_1904: bool
    ) -> None:
        self._head, self._day, self._left = head, day, left
        self._currency = layout.currency or currency
        near_ms = layout.window_minutes * 60_000
        self._near_from_ms, self._near_to_ms = day.from_ms - near_ms, day.to_ms + near_ms
        zone = ZoneInfo(day.timezone)
        self._moments = Moments(zone, layout.time_format, since_1904=since_1904)
        self._phone = phone_reader(layout.calling_code, layout.national_digits)
        self._amount = amount_reader(layout.decimal)
        self._paid = {word.casefold() for word in layout.paid}
        self._not_paid = {word.casefold() for word in layout.not_paid}

    def line(self, row: int, cells: list[str]) -> Line | None:
        """Return the line; raises ValueError for a row that is wrong."""
        head = self._head
        if len(cells) < head.width:
            raise ValueError(
                f"it has {len(cells)} cells and the header {head.width}: is the file whole?"
            )
        if not self._is_paid(head.status(cells)):
            self._left.not_paid += 1
            return None
        counts, at_ms = self._when(head.when(cells))
        if counts is None:
            return None
        currency = _currency(head.currency(cells) or self._currency)
        reference, transaction = head.reference(cells), head.transaction(cells)
        called = self._phone(head.phone(cells))
        if not (reference or transaction or called != NO_PHONE):
            raise ValueError(
                "it has neither reference nor transaction nor phone; if it is a sum at the foot, "
                "let the layout say footer_rows = 1"
            )
        return Line(
            row=row,
            reference=reference[:_NAME_CHARACTERS_MAX],
            topup_id=topup_id(reference) if reference else NO_ID,
            transaction=transaction[:_NAME_CHARACTERS_MAX],
            phone=called,
            amount_minor=self._amount(head.amount(cells), currency),
            currency=currency,
            at_ms=at_ms,
            counts=counts,
        )

    def _is_paid(self, status: str | None) -> bool:
        if status is None:
            return True
        word = status.casefold()
        if word in self._paid:
            return True
        if word in self._not_paid:
            return False
        raise ValueError(
            f"status {status[:40]!r} is neither in paid nor in not_paid of the layout: "
            "add it to one"
        )

    def _when(self, text: str | None) -> tuple[bool | None, int]:
        """Return whether the line is of the day (None: not even near it) and its time."""
        if text is None:
            return True, NO_TIME
        at_ms, date = self._moments.read(text)
        if date == self._day.date:
            return True, at_ms
        self._left.other_days += 1
        near = at_ms != NO_TIME and self._near_from_ms <= at_ms < self._near_to_ms
        return (False if near else None), at_ms


def _currency(text: str) -> str:
    currency = text.upper()
    if currency not in EXPONENTS:
        raise ValueError(f"currency {currency[:8]!r} is none of {', '.join(EXPONENTS)}")
    return currency


def _kind(path: Path) -> str:
    size = path.stat().st_size
    if not path.is_file():
        raise UnreadableStatement("it is no file")
    if size == 0:
        raise UnreadableStatement("it is empty")
    if size > BYTES_MAX:
        raise UnreadableStatement(f"it has over {BYTES_MAX >> 30} GiB: split it by day")
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(_OLD_WORKBOOK):
        raise UnreadableStatement(
            "it is an encrypted or an old workbook (.xls): save it as xlsx or CSV"
        )
    return "workbook" if start.startswith(_ZIP) else "text"
