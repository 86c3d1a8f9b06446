"""A file of topups reads back exactly, and holds nothing that a spreadsheet would run."""

import csv
import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.ledger.spreadsheet import COLUMNS, HEADER, written
from shared.contracts.peers import TopupRow
from shared.contracts.states import State

BEGINS_A_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
nasty = st.builds("".join, st.lists(st.sampled_from([*"=+-@'\",;\t\r\n ", "é"]), max_size=6))
texts = words | nasty
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
rows = st.builds(
    TopupRow,
    topup_id=st.uuids().map(str),
    customer_id=texts,
    phone=st.integers(10**9, 10**14).map("+{}".format),
    country=st.just("MX"),
    amount_minor=st.integers(1, 2**63 - 1),
    currency=st.sampled_from(["MXN", "USD"]),
    provider=texts,
    product=texts,
    status=st.sampled_from([state.value for state in State]),
    reason=st.none() | texts,
    provider_reference=st.none() | texts,
    reference=st.none() | texts,
    metadata=st.none() | st.dictionaries(texts, values, max_size=3),
    accepted_at_ms=st.integers(0, 2**42),
    settled_at_ms=st.none() | st.integers(0, 2**42),
)


def read(file: bytes) -> list[list[str]]:
    """Return the cells as any reader of RFC 4180 has them."""
    return list(csv.reader(io.StringIO(file.decode(), newline=""), strict=True))


def exact(cell: str) -> str:
    """Take the apostrophe off, as the docs say."""
    return cell.removeprefix("'")


@given(st.lists(rows, max_size=5))
def test_every_cell_reads_back_exactly(topups: list[TopupRow]) -> None:
    """One record a topup, and one apostrophe, if any, to take off."""
    header, *found = read(HEADER + written(topups))
    assert header == list(COLUMNS)
    assert len(found) == len(topups)
    for cells, row in zip(found, topups, strict=True):
        told = dict(zip(header, map(exact, cells), strict=True))
        assert told["topup_id"] == row.topup_id
        assert told["phone"] == row.phone
        for name in ("customer_id", "provider", "product", "provider_reference", "reference"):
            assert told[name] == (getattr(row, name) or ""), name
        metadata = json.loads(told["metadata"]) if told["metadata"] else None
        assert metadata == row.metadata


@given(st.lists(rows, min_size=1, max_size=5))
def test_no_cell_begins_a_formula(topups: list[TopupRow]) -> None:
    """Whatever merchants and providers wrote."""
    for cells in read(HEADER + written(topups)):
        for cell in cells:
            assert not cell.startswith(BEGINS_A_FORMULA)


def test_lines_end_as_rfc_4180_says() -> None:
    """With CRLF, the last one too."""
    assert HEADER.endswith(b",metadata,expected_at\r\n")
    assert HEADER.count(b"\n") == 1
