"""Stream entries as a file: gzip of JSON lines, that can be told from half of itself.

The first line is the header, each line after it an entry as `[stream, id, {field: value}]`, and
the last line the footer: how many entries there are, and the SHA-256 of all lines before it.
A value that is not UTF-8 is an object, `{"base64": …}`.
"""

import gzip
import hashlib
import itertools
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Annotated, Final

import msgspec

from shared.bus.reader import Entry
from shared.contracts.errors import TopupError

VERSION: Final = 1
LINE_BYTES_MAX: Final = 16 * 1024 * 1024
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_LEVEL: Final = 3  # half the time of 6, and a tenth more bytes


class NotAnArchive(TopupError):
    """The file is something else, another version, damaged, or half of one; book none of it."""

    code = "not_an_archive"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the file is, and of what it was made; `from` and `to` are entry ids."""

    topup_export: int
    made_at: str
    first: str
    last: str
    topup: str | None = None
    customer: str | None = None
    provider: str | None = None


class Footer(msgspec.Struct, frozen=True):
    """What makes it whole."""

    entries: int
    sha256: str


class _Binary(msgspec.Struct, frozen=True):
    base64: bytes


_STREAM: Final = r"\Atopup:\{[0-9]+\}:(outcomes|requests:[A-Za-z0-9_]+)\Z"


class _Line(msgspec.Struct, frozen=True, array_like=True):
    stream: Annotated[str, msgspec.Meta(pattern=_STREAM)]
    id: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,20}-[0-9]{1,20}\Z")]
    fields: dict[str, str | _Binary]


class _Version(msgspec.Struct):
    topup_export: int


_encoder: Final = msgspec.json.Encoder()
_lines: Final = msgspec.json.Decoder(_Line)


class ArchiveWriter:
    """Writes one; without `finish` it is recognised as half."""

    def __init__(self, file: IO[bytes], header: Header) -> None:
        self._zipped = gzip.GzipFile(
            filename="", mode="wb", fileobj=file, compresslevel=_LEVEL, mtime=0
        )
        self._sum = hashlib.sha256()
        self.entries = 0
        self._write(_encoder.encode(header) + b"\n")

    def add(self, entries: Sequence[Entry]) -> None:
        """Write entries; raises OSError as files do."""
        lines = [_Line(one.stream, one.id, _shown(one.fields)) for one in entries]
        self._write(_encoder.encode_lines(lines))
        self.entries += len(entries)

    def finish(self) -> None:
        """Write the footer: now it is whole."""
        self._zipped.write(_encoder.encode(Footer(self.entries, self._sum.hexdigest())) + b"\n")
        self._zipped.close()

    def _write(self, lines: bytes) -> None:
        self._sum.update(lines)
        self._zipped.write(lines)


def read_archive(path: Path, *, count_max: int) -> Iterator[list[Entry]]:
    """Yield its entries, page by page; only once they all were read is it known to be whole.

    Raises:
        NotAnArchive: it is not whole, or nothing of ours; also at its very end.
        OSError: it cannot be read.
    """
    for batch in _Lines(path).batches(count_max):
        yield [_entry(line) for line in batch]


class _Lines:
    """Reads the lines between header and footer, and checks both."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sum = hashlib.sha256()

    def batches(self, count_max: int) -> Iterator[list[bytes]]:
        try:
            with self._path.open("rb") as file, gzip.GzipFile(fileobj=file) as zipped:
                yield from self._checked(zipped, count_max)
        except EOFError:
            raise NotAnArchive("it ends in the middle: export it again") from None
        except (gzip.BadGzipFile, zlib.error) as problem:
            raise NotAnArchive(f"it is no gzip file, or a damaged one ({problem})") from None

    def _checked(self, zipped: gzip.GzipFile, count_max: int) -> Iterator[list[bytes]]:
        self._check_header(_line(zipped))
        found, last = 0, _line(zipped)
        while batch := list(itertools.islice(_rest(zipped), count_max)):
            whole = [last, *batch[:-1]]
            last = batch[-1]
            self._sum.update(b"".join(whole))
            found += len(whole)
            yield whole
        self._check_footer(last, found)

    def _check_header(self, line: bytes) -> None:
        self._sum.update(line)
        try:
            version = msgspec.json.decode(line, type=_Version).topup_export
        except UNREADABLE:
            raise NotAnArchive("its first line is not that of a topup export") from None
        if version != VERSION:
            raise NotAnArchive(f"it is of version {version}; this topup reads version {VERSION}")

    def _check_footer(self, line: bytes, found: int) -> None:
        try:
            footer = msgspec.json.decode(line, type=Footer)
        except UNREADABLE:
            raise NotAnArchive("its last line is missing: export it again") from None
        if footer != Footer(found, self._sum.hexdigest()):
            raise NotAnArchive("its entries are not those that were written: it was altered")


def _rest(zipped: gzip.GzipFile) -> Iterator[bytes]:
    while line := _line(zipped):
        yield line


def _line(zipped: gzip.GzipFile) -> bytes:
    """Return the next line; one without end would fill the memory."""
    line = zipped.readline(LINE_BYTES_MAX)
    if len(line) == LINE_BYTES_MAX:
        raise NotAnArchive("a line has no end")
    return line


def _shown(fields: dict[str, bytes]) -> dict[str, str | _Binary]:
    try:
        return {name: value.decode() for name, value in fields.items()}
    except UnicodeDecodeError:
        return {name: _text_or_binary(value) for name, value in fields.items()}


def _text_or_binary(value: bytes) -> str | _Binary:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _Binary(value)


def _entry(line: bytes) -> Entry:
    try:
        read = _lines.decode(line)
    except UNREADABLE as problem:
        raise NotAnArchive(f"a line is no entry: {str(problem)[:200]}") from None
    fields = {
        name: value.encode() if isinstance(value, str) else value.base64
        for name, value in read.fields.items()
    }
    return Entry(read.stream, read.id, fields)
