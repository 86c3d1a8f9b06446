"""Rows of a CSV file as texts: separator found out, encoding strict, limits on everything."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from services.ledger.statements.errors import UnreadableStatement

SEPARATORS: Final = (",", ";", "\t", "|")
_SAMPLE_LINES: Final = 20
_LINE_CHARACTERS_MAX: Final = 65_536
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


Known = Callable[[list[str]], int]
"""How many headers of a row are wanted ones."""


def rows(
    path: Path, *, separator: str | None, encoding: str, known: Known
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and cells of each row, stripped of spaces around them.

    Raises:
        UnreadableStatement: it is not text of this encoding, or not CSV.
    """
    encoding = _marked(path) or encoding
    with path.open(encoding=encoding, newline="") as file:
        lines = _Lines(file, encoding)
        used = separator or _separator(lines.sample(), known)
        reader = csv.reader(lines, delimiter=used, strict=True)
        try:
            for cells in reader:
                yield reader.line_num, [cell.strip() for cell in cells]
        except csv.Error as problem:
            raise UnreadableStatement(
                f"line {reader.line_num} is not CSV ({problem}): is the file whole?"
            ) from None


class _Lines:
    """The lines of a text file; the first ones can be looked at before."""

    def __init__(self, file: io.TextIOBase, encoding: str) -> None:
        self._file, self._encoding = file, encoding
        self._seen: list[str] = []
        self._number = 0

    def sample(self) -> list[str]:
        self._seen = [line for line in (self._read() for _ in range(_SAMPLE_LINES)) if line]
        return self._seen

    def __iter__(self) -> Iterator[str]:
        yield from self._seen
        while line := self._read():
            yield line

    def _read(self) -> str:
        self._number += 1
        try:
            line = self._file.readline(_LINE_CHARACTERS_MAX)
        except UnicodeError as problem:
            raise UnreadableStatement(
                f"after line {self._number - 1} is what is not {self._encoding} "
                f"({problem.__class__.__name__}): let the layout say its encoding, "
                "for example encoding = 'windows-1252'"
            ) from None
        if len(line) >= _LINE_CHARACTERS_MAX:
            raise UnreadableStatement(
                f"line {self._number} has over {_LINE_CHARACTERS_MAX} characters: this is no "
                "statement as CSV"
            )
        if _CONTROL.search(line):
            raise UnreadableStatement(
                f"line {self._number} holds what no text has: neither CSV nor xlsx"
            )
        return line


def _marked(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(4)
    return next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)


def _separator(sample: list[str], known: Known) -> str:
    """Return the separator with which a row has most of the wanted headers, then most cells."""

    def rank(mark: str) -> tuple[int, int]:
        rows = [_cells(line, mark) for line in sample] or [[]]
        return max((known(cells), len(cells)) for cells in rows)

    return max(SEPARATORS, key=rank)


def _cells(line: str, mark: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=mark), [])
    except csv.Error:
        return []
