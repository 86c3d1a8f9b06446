r"""Topups as CSV (RFC 4180) that is safe to open in a spreadsheet.

A cell that a spreadsheet could take for a formula gets an apostrophe in front, and so does one
that begins with an apostrophe: take one off, and each cell is exactly what the API says. Phones
begin with + and get one too: as numbers they would lose digits on the next save.
"""

import csv
import io
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from shared.contracts.instants import timestamp
from shared.contracts.money import format_amount
from shared.contracts.peers import TopupRow
from shared.contracts.states import MERCHANT_STATUS

COLUMNS: Final = (
    "topup_id", "status", "customer_id", "phone", "amount", "currency", "provider",
    "provider_reference", "reason", "accepted_at", "settled_at", "product", "reference", "metadata",
    "expected_at",
)  # fmt: skip
"""The names of the API's fields, in its order."""

_STATUS: Final = {state.value: word for state, word in MERCHANT_STATUS.items()}
_FORMULA: Final = re.compile("['=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""What may begin a formula, also in full width."""


def written(rows: Iterable[TopupRow]) -> bytes:
    """Return the lines of these topups."""
    return _lines(_cells(row) for row in rows)


def _cells(row: TopupRow) -> tuple[str, ...]:
    metadata = "" if row.metadata is None else msgspec.json.encode(row.metadata).decode()
    return (
        row.topup_id,
        _STATUS[row.status],
        plain(row.customer_id),
        plain(row.phone),
        format_amount(row.amount_minor, row.currency),
        row.currency,
        plain(row.provider),
        plain(row.provider_reference or ""),
        plain(row.reason or ""),
        timestamp(row.accepted_at_ms),
        "" if row.settled_at_ms is None else timestamp(row.settled_at_ms),
        plain(row.product),
        plain(row.reference or ""),
        metadata,
        "" if row.expected_at_ms is None else timestamp(row.expected_at_ms),
    )


def plain(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


HEADER: Final = _lines([COLUMNS])
