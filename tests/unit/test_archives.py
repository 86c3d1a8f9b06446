"""An export is whole or refused: half of one, a changed one and anything else is recognised."""

import gzip
import hashlib
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ledger.archive import (
    ArchiveWriter,
    Header,
    NotAnArchive,
    read_archive,
)
from shared.bus.reader import Entry

HEADER = Header(topup_export=1, made_at="2026-11-24T12:00:00Z", first="-", last="+")
STREAMS = st.sampled_from(["topup:{0}:outcomes", "topup:{11}:requests:LATCOM"])
ENTRIES = st.lists(
    st.builds(
        Entry,
        STREAMS,
        st.builds("{}-{}".format, st.integers(0, 2**63), st.integers(0, 2**64 - 1)),
        st.dictionaries(st.text(max_size=5), st.binary(max_size=40), max_size=4),
    ),
    max_size=12,
)


def read(path: Path, *, count_max: int = 100) -> list[Entry]:
    """Return what an export holds."""
    return [entry for page in read_archive(path, count_max=count_max) for entry in page]


def packed(lines: bytes) -> bytes:
    """Return them as gzip, the same each time."""
    return gzip.compress(lines, mtime=0)


def written(entries: list[Entry]) -> bytes:
    """Return the bytes of an export."""
    out = io.BytesIO()
    writer = ArchiveWriter(out, HEADER)
    for entry in entries:
        writer.add([entry])
    writer.finish()
    return out.getvalue()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file's name."""
    return tmp_path_factory.mktemp("archives") / "all.jsonl.gz"


@given(entries=ENTRIES, count_max=st.integers(1, 5))
@settings(deadline=None)
def test_what_was_written_is_read_again(path: Path, entries: list[Entry], count_max: int) -> None:
    """Byte for byte, in its order, whatever the pages."""
    path.write_bytes(written(entries))
    assert read(path, count_max=count_max) == entries


@given(data=st.data(), entries=ENTRIES)
@settings(deadline=None)
def test_half_a_file_is_refused(path: Path, data: st.DataObject, entries: list[Entry]) -> None:
    """Wherever it was cut off."""
    whole = written(entries)
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(NotAnArchive):
        read(path)


@given(data=st.data(), entries=ENTRIES)
@settings(deadline=None)
def test_lines_that_are_lost_added_or_changed_are_missed(
    path: Path, data: st.DataObject, entries: list[Entry]
) -> None:
    """Also where the file was packed again, so that gzip itself sees nothing."""
    lines = gzip.decompress(written(entries)).splitlines(keepends=True)
    place = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["lost", "twice", "changed"]))
    other = {"lost": [], "twice": [lines[place]] * 2, "changed": [b" " + lines[place]]}[how]
    if how == "changed" and place == len(lines) - 1:
        other = [lines[place].replace(b'{"entries":', b'{"entries":1')]
    path.write_bytes(packed(b"".join([*lines[:place], *other, *lines[place + 1 :]])))
    with pytest.raises(NotAnArchive):
        read(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "first line"),
        (b"not gzip", "no gzip file"),
        (packed(b""), "first line"),
        (packed(b"id,amount\n1,2\n"), "first line"),
        (packed(b'{"topup_export":"1"}\n'), "first line"),
        (packed(b'{"topup_export":2}\n{"entries":0,"sha256":""}\n'), "of version 2"),
        (packed(b'{"topup_export":1}\n'), "last line is missing"),
        (packed(b'{"topup_export":1}\n{"entries":0,"sha256":""}\n'), "was altered"),
        (packed(b'{"topup_export":1}\n["a","1-0",{}]\n{}\n'), "a line is no entry"),
        (packed(b"x" * (17 * 1024 * 1024)), "no end"),
        (written([]) + b"more", "gzip"),
    ],
)
def test_any_other_file_is_refused_by_name(tmp_path: Path, content: bytes, problem: str) -> None:
    """One sentence says what is wrong with it."""
    path = tmp_path / "other.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(NotAnArchive, match=problem):
        read(path)


def test_an_export_without_its_end_is_half_a_file(tmp_path: Path) -> None:
    """One that was killed while it wrote."""
    path = tmp_path / "half.jsonl.gz"
    with path.open("wb") as out:
        writer = ArchiveWriter(out, HEADER)
        writer.add([Entry("topup:{0}:outcomes", "1-0", {"id": b"1"})])
        _without_footer(writer)
    with pytest.raises(NotAnArchive, match="last line is missing"):
        read(path)


def test_the_footer_counts() -> None:
    """And holds the sum of all lines before it."""
    whole = written([Entry("topup:{0}:outcomes", "1-0", {})])
    *before, last = gzip.decompress(whole).splitlines(keepends=True)
    footer = {"entries": 1, "sha256": hashlib.sha256(b"".join(before)).hexdigest()}
    assert msgspec.json.decode(last) == footer


def _without_footer(writer: Any) -> None:
    writer._zipped.close()
