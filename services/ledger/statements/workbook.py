"""Rows of an xlsx sheet as texts, one after the other, however large the sheet is.

The container is read by `zipfile` and the XML by expat; what is wanted of a workbook is so little
that it takes a page (docs/dependencies.md says why no library). Nothing is believed: sizes,
counts and nesting have limits, and a document type, where entities grow, is refused.
"""

import re
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from posixpath import join, normpath
from typing import IO, Final, Self
from xml.parsers import expat

from services.ledger.statements.errors import UnreadableStatement

UNPACKED_BYTES_MAX: Final = 2 << 30
"""A million lines of ten columns unpack to about a quarter of it."""
TEXT_BYTES_MAX: Final = 256 << 20
COLUMNS_MAX: Final = 256
CELL_CHARACTERS_MAX: Final = 32_767  # of the format itself
_PIECE: Final = 1 << 16
_TOKEN_BYTES_MAX: Final = 1 << 20
_COLUMN: Final = re.compile(r"[A-Z]{1,3}")
_DIGITS: Final = "0123456789"
_SIGNIFICANT: Final = ".15g"  # a spreadsheet keeps no more digits of a number

Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]


class Workbook:
    """One xlsx file; use it as a context.

    Raises:
        UnreadableStatement: it is none, not whole, encrypted, or larger than anybody needs.
    """

    def __init__(self, path: Path | IO[bytes]) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            raise UnreadableStatement(
                "it begins as an xlsx file but is not a whole one: fetch it again"
            ) from None
        self._members = {each.filename: each for each in self._zip.infolist()}
        unpacked = sum(each.file_size for each in self._members.values())
        if unpacked > UNPACKED_BYTES_MAX:
            raise UnreadableStatement(
                f"it would unpack to {unpacked / 2**30:.1f} GiB, over "
                f"{UNPACKED_BYTES_MAX >> 30}: split it by day, or save it as CSV"
            )
        self.since_1904 = False
        self.sheets = self._read_sheets()
        self._texts = _Texts()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def rows(self, sheet: str | None) -> Iterator[tuple[int, list[str]]]:
        """Yield each row's number and cells; of the first sheet where none is named."""
        name = next(iter(self.sheets), None) if sheet is None else sheet
        if name not in self.sheets:
            found = ", ".join(map(repr, list(self.sheets)[:10])) or "none"
            raise UnreadableStatement(f"it has no sheet {name or 'at all'!r}; it has {found}")
        self._read_texts()
        rows = _Rows(self._texts)
        for _ in self._parse(self.sheets[name], rows.start, rows.end, rows.characters):
            yield from rows.taken()
        yield from rows.taken()

    def _read_sheets(self) -> dict[str, str]:
        """Return where each sheet is, by its name, in order."""
        found: list[tuple[str, str]] = []
        targets: dict[str, str] = {}

        def start(name: str, attributes: dict[str, str]) -> None:
            if name == "sheet":
                found.append((attributes.get("name", ""), attributes.get("r:id", "")))
            elif name == "workbookPr":
                self.since_1904 = attributes.get("date1904") in ("1", "true")
            elif name == "Relationship":
                targets[attributes.get("Id", "")] = attributes.get("Target", "")

        for member in ("xl/workbook.xml", "xl/_rels/workbook.xml.rels"):
            if member not in self._members:
                raise UnreadableStatement("it is a zip file, but not of a workbook (xlsx)")
            for _ in self._parse(member, start, lambda _name: None, lambda _text: None):
                pass
        places = {name: normpath(join("/xl", targets.get(key, "")))[1:] for name, key in found}
        return {name: place for name, place in places.items() if place in self._members}

    def _read_texts(self) -> None:
        if "xl/sharedStrings.xml" in self._members:
            texts = self._texts
            for _ in self._parse("xl/sharedStrings.xml", texts.start, texts.end, texts.characters):
                pass

    def _parse(
        self, member: str, start: Start, end: End, characters: Callable[[str], None]
    ) -> Iterator[None]:
        """Feed a member to the handlers, and yield after each piece of it."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = _by_root(parser, start, end)
        parser.CharacterDataHandler = characters
        parser.StartDoctypeDeclHandler = _refuse_doctype
        fed = 0
        try:
            with self._zip.open(self._members[member]) as file:
                while piece := file.read(_PIECE):
                    fed += len(piece)
                    parser.Parse(piece, False)  # noqa: FBT003 - it takes no name for it
                    if fed - parser.CurrentByteIndex > _TOKEN_BYTES_MAX:
                        raise UnreadableStatement(f"{member} in it is no sheet of cells")
                    yield
                parser.Parse(b"", True)  # noqa: FBT003 - likewise
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError):
            raise UnreadableStatement(
                f"{member} in it is damaged or encrypted: fetch the file again"
            ) from None
        except (expat.ExpatError, ValueError, KeyError, IndexError):
            raise UnreadableStatement(
                f"{member} in it is not what a workbook has there: save it again as xlsx or CSV"
            ) from None


class _Texts:
    """The texts that cells refer to by number, in one piece of memory."""

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("Q", [0])
        self._wanted, self._skipped = False, 0

    def __getitem__(self, number: int) -> str:
        start, end = self._ends[number], self._ends[number + 1]
        return self._bytes[start:end].decode()

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self._wanted = name == "t"
        self._skipped += name == "rPh"  # how it is read aloud, no part of the text

    def characters(self, text: str) -> None:
        if self._wanted and not self._skipped:
            self._bytes += text.encode()
            if len(self._bytes) > TEXT_BYTES_MAX:
                raise UnreadableStatement("it has too much text: split it by day")

    def end(self, name: str) -> None:
        self._wanted = False
        self._skipped -= name == "rPh"
        if name == "si":
            self._ends.append(len(self._bytes))


class _Rows:
    """Makes rows of the elements of a sheet."""

    def __init__(self, texts: _Texts) -> None:
        self._texts = texts
        self._done: list[tuple[int, list[str]]] = []
        self._row: list[str] = []
        self._number = 0
        self._kind, self._cell, self._wanted = "n", "", False

    def taken(self) -> list[tuple[int, list[str]]]:
        """Return the rows that are whole since it was asked last."""
        done, self._done = self._done, []
        return done

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._kind, self._cell = attributes.get("t", "n"), ""
            self._go_to(attributes.get("r"))
        elif name == "row":
            self._number = int(attributes.get("r", self._number + 1))
            self._row = []
        else:
            self._wanted = name in ("v", "t")

    def characters(self, text: str) -> None:
        if self._wanted:
            self._cell += text
            if len(self._cell) > CELL_CHARACTERS_MAX:
                raise UnreadableStatement(f"row {self._number} has a cell that is too long")

    def end(self, name: str) -> None:
        self._wanted = False
        if name == "c":
            self._row.append(self._text())
        elif name == "row":
            self._done.append((self._number, self._row))

    def _text(self) -> str:
        if not self._cell:
            return ""
        if self._kind == "s":
            return self._texts[int(self._cell)].strip()
        if self._kind != "n":
            return self._cell.strip()
        number = float(self._cell)
        return f"{number:.0f}" if number.is_integer() else f"{number:{_SIGNIFICANT}}"

    def _go_to(self, place: str | None) -> None:
        """Fill up to the cell's column: empty cells are not written."""
        column = len(self._row) if place is None else _column(place.rstrip(_DIGITS))
        if not len(self._row) <= column < COLUMNS_MAX:
            raise UnreadableStatement(
                f"row {self._number} has a cell at {str(place)[:16]!r}: "
                f"over {COLUMNS_MAX} columns, or not in order"
            )
        self._row += [""] * (column - len(self._row))


@lru_cache(maxsize=1_024)
def _column(letters: str) -> int:
    """Return its number, from 0 on; -1 for what is none."""
    column = -1
    for letter in letters if _COLUMN.fullmatch(letters) else "":
        column = (column + 1) * 26 + ord(letter) - ord("A")
    return column


def _by_root(parser: expat.XMLParserType, start: Start, end: End) -> Start:
    """Return what looks at the root, and takes away its prefix from all names where it has one."""

    def first(name: str, attributes: dict[str, str]) -> None:
        prefix, colon, _ = name.rpartition(":")
        if colon:
            mark = prefix + colon
            parser.StartElementHandler = lambda name, given: start(name.removeprefix(mark), given)
            parser.EndElementHandler = lambda name: end(name.removeprefix(mark))
        else:  # as nearly always: no call in between
            parser.StartElementHandler, parser.EndElementHandler = start, end
        start(name.removeprefix(prefix + colon), attributes)

    return first


def _refuse_doctype(*_: object) -> None:
    raise UnreadableStatement("it has a document type, as no workbook has")
