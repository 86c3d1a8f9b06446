"""Finds which column is what; a file without a needed one is told what is missing and was found."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from services.ledger.statements.errors import UnreadableStatement
from services.ledger.statements.layout import Columns, Layout

_SHOWN_MAX: Final = 20
_SHOWN_CHARACTERS: Final = 32
_NUMBER: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]+)?")
_NAMES: Final = ("reference", "transaction", "phone")


class Head:
    """Where each thing stands in a row, and how many cells a whole row has."""

    def __init__(self, places: dict[str, int]) -> None:
        self.width = max(places.values()) + 1
        self.reference = _cell(places.get("reference"))
        self.transaction = _cell(places.get("transaction"))
        self.phone = _cell(places.get("phone"))
        self.amount = _cell(places.get("amount"))
        self.currency = _cell(places.get("currency"))
        self._status = places.get("status")
        self._when = [places[name] for name in ("date", "time") if name in places]

    def status(self, cells: Sequence[str]) -> str | None:
        """Return what the row says of itself; None: there is no such column."""
        return None if self._status is None else cells[self._status]

    def when(self, cells: Sequence[str]) -> str | None:
        """Return date and time as one text; None: there is no such column."""
        if not self._when:
            return None
        return _joined([cells[place] for place in self._when if cells[place]])


def find_head(rows: Sequence[tuple[int, Sequence[str]]], layout: Layout) -> tuple[Head, int]:
    """Return what the header says, and which of the rows it is.

    Raises:
        UnreadableStatement: no row has the columns; or a column is there twice.
    """
    wanted = range(len(rows)) if layout.header_row is None else [layout.header_row - 1]
    best: tuple[int, Sequence[str], dict[str, int]] = (-1, [], {})
    for place in wanted:
        cells = rows[place][1] if place < len(rows) else []
        places = _places(cells, layout.columns)
        if not _missing(places):
            _check_once(cells, places)
            return Head(places), place
        rank = len(places) * 1_000 + min(sum(map(bool, cells)), 999)
        best = max(best, (rank, cells, places), key=lambda each: each[0])
    missing = " and ".join(_asked(name, layout.columns) for name in _missing(best[2]))
    found = [cell[:_SHOWN_CHARACTERS] for cell in best[1] if cell]
    shown = ", ".join(map(repr, found[:_SHOWN_MAX])) or "none"
    raise UnreadableStatement(
        f"no column for {missing}; columns found: {shown}; let --layout name it"
    )


def known(cells: Sequence[str], layout: Layout) -> int:
    """Return how many of the headers are ones that the layout names."""
    return len(_places(cells, layout.columns))


def _joined(texts: Sequence[str]) -> str:
    """Return date and time of one row; a workbook has days and parts of a day, as numbers."""
    if len(texts) > 1 and all(map(_NUMBER.fullmatch, texts)) and float(texts[1]) < 1:
        return f"{float(texts[0]) + float(texts[1]):.15g}"
    return " ".join(texts)


def _cell(place: int | None) -> Callable[[Sequence[str]], str]:
    if place is None:
        return lambda _cells: ""
    return lambda cells: cells[place]


def _places(cells: Sequence[str], columns: Columns) -> dict[str, int]:
    headers = [" ".join(cell.casefold().split()) for cell in cells]
    places = {}
    for what in columns.__struct_fields__:
        names = (" ".join(name.casefold().split()) for name in getattr(columns, what))
        found = next((name for name in names if name in headers), None)
        if found is not None:
            places[what] = headers.index(found)
    return places


def _missing(places: dict[str, int]) -> list[str]:
    missing = [] if "amount" in places else ["amount"]
    return missing if any(name in places for name in _NAMES) else [*missing, "reference"]


def _asked(what: str, columns: Columns) -> str:
    names = [*getattr(columns, what)]
    if what == "reference":
        names += [*columns.transaction, *columns.phone]
        what = "reference, transaction or phone"
    return f"{what} (any of {', '.join(map(repr, names[:8]))})"


def _check_once(cells: Sequence[str], places: dict[str, int]) -> None:
    headers = [cell.casefold() for cell in cells]
    for place in places.values():
        if headers.count(headers[place]) > 1:
            raise UnreadableStatement(
                f"column {cells[place][:_SHOWN_CHARACTERS]!r} is there twice: rename one of them"
            )
