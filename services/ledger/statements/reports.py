"""A reconciliation as CSV (each line and topup of the day a row) and as JSON (the same, nested)."""

import csv
import io
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import msgspec

from services.ledger.spreadsheet import plain
from services.ledger.statements.classes import Class, Finding, Side
from services.ledger.statements.comparison import Reconciliation, Resolve
from services.ledger.statements.pairs import NOBODY
from services.ledger.statements.tables import NO_PHONE, NO_TIME
from shared.contracts.ids import mask_phone
from shared.contracts.instants import timestamp
from shared.contracts.money import format_amount
from shared.contracts.statements import ClassSum

_ROWS_AT_ONCE: Final = 2_000
T = TypeVar("T")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one line of the report says; empty or None where that side has nothing."""

    kind: Class = msgspec.field(name="class")
    confidence: int | None = None
    basis: str = ""
    row: int | None = None
    their_reference: str = ""
    their_transaction: str = ""
    their_phone: str = ""
    their_amount: str = ""
    their_currency: str = ""
    their_time: str = ""
    topup_id: str = ""
    our_status: str = ""
    our_transaction: str = ""
    our_phone: str = ""
    our_amount: str = ""
    our_currency: str = ""
    accepted_at: str = ""


COLUMNS: Final = tuple(field.encode_name for field in msgspec.structs.fields(Row))


def rows(result: Reconciliation) -> Iterator[Row]:
    """Yield the whole report; phones are masked."""
    for found in result.findings():
        yield row_of(result, found)


def row_of(result: Reconciliation, found: Finding) -> Row:
    """Return one finding as it is told."""
    theirs, ours, line, topup = result.theirs, result.ours, found.line, found.topup
    told: dict[str, str | int | None] = {}
    if line != NOBODY:
        currency = theirs.currencies[theirs.currency[line]]
        told |= {
            "row": theirs.rows[line],
            "their_reference": theirs.references[line],
            "their_transaction": theirs.transactions[line],
            "their_phone": _masked(theirs.phones[line]),
            "their_amount": format_amount(theirs.amounts[line], currency),
            "their_currency": currency,
            "their_time": "" if theirs.at_ms[line] == NO_TIME else timestamp(theirs.at_ms[line]),
        }
    if topup != NOBODY:
        currency = ours.currencies[ours.currency[topup]]
        told |= {
            "topup_id": ours.topup_id(topup),
            "our_status": ours.state(topup).value,
            "our_transaction": ours.transactions[topup],
            "our_phone": _masked(ours.phones[topup]),
            "our_amount": format_amount(ours.amounts[topup], currency),
            "our_currency": currency,
            "accepted_at": timestamp(ours.at_ms[topup]),
        }
    if NOBODY not in (line, topup):
        told |= {"confidence": int(found.how), "basis": found.how.name.lower()}
    return Row(kind=found.kind, **told)  # type: ignore[arg-type] # each under its own name


def sums(result: Reconciliation) -> list[ClassSum]:
    """Return every class in every currency, and under them all together."""
    currencies = sorted({*result.totals.theirs, *result.totals.ours})
    found = [
        _sum(kind.value, currency, each.theirs.get(currency), each.ours.get(currency))
        for currency in currencies
        for kind, each in result.totals.classes.items()
    ]
    return found + [
        _sum("all", each, result.totals.theirs.get(each), result.totals.ours.get(each))
        for each in currencies
    ]


def as_csv(result: Reconciliation) -> Iterator[bytes]:
    """Yield a CSV file (RFC 4180), safe to open in a spreadsheet."""
    yield _lines([COLUMNS])
    for some in _pages(rows(result)):
        yield _lines(map(_cells, some))


def as_json(result: Reconciliation) -> Iterator[bytes]:
    """Yield one JSON object, its rows one a line."""
    head = msgspec.json.encode(summary(result))
    yield head[:-1] + b',"rows":[\n'
    before = b""
    encode: Callable[[Row], bytes] = msgspec.json.Encoder().encode
    for some in _pages(rows(result)):
        yield before + b",\n".join(map(encode, some))
        before = b",\n"
    yield b"\n]}\n"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All but the rows."""

    provider: str
    file: str
    file_sha256: str
    day: str
    timezone: str
    clean: bool  # every line of the day is matched, and every topup
    lines_read: int
    lines_of_other_days: int
    lines_not_paid: int
    totals: list[ClassSum]
    accepted_before: dict[str, Side]
    paid_on_another_day: dict[str, Side]
    not_expected: dict[str, Side]
    proposed: list[Resolve]


def summary(result: Reconciliation) -> Summary:
    """Return all but the rows; amounts in `Side` are minor units."""
    found = result.totals
    return Summary(
        provider=result.provider,
        file=result.file,
        file_sha256=result.file_sha256,
        day=result.day.date.isoformat(),
        timezone=result.day.timezone,
        clean=is_clean(result),
        lines_read=result.left.read,
        lines_of_other_days=result.left.other_days,
        lines_not_paid=result.left.not_paid,
        totals=sums(result),
        accepted_before=found.before,
        paid_on_another_day=found.other_day,
        not_expected=found.not_expected,
        proposed=result.resolves,
    )


def is_clean(result: Reconciliation) -> bool:
    """Tell whether all of both sides is matched."""
    return not any(
        each.theirs or each.ours
        for kind, each in result.totals.classes.items()
        if kind is not Class.MATCHED
    )


def _sum(name: str, currency: str, theirs: Side | None, ours: Side | None) -> ClassSum:
    theirs, ours = theirs or Side(), ours or Side()
    return ClassSum(
        name=name,
        currency=currency,
        theirs_count=theirs.count,
        theirs_amount=format_amount(theirs.amount_minor, currency),
        ours_count=ours.count,
        ours_amount=format_amount(ours.amount_minor, currency),
        difference=format_amount(theirs.amount_minor - ours.amount_minor, currency),
    )


def _cells(row: Row) -> list[str]:
    values = msgspec.structs.astuple(row)
    return ["" if value is None else plain(str(value)) for value in values]


def _lines(rows_of: object) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows_of)  # type: ignore[arg-type] # rows of texts
    return text.getvalue().encode()


def _pages(every: Iterator[T]) -> Iterator[list[T]]:
    page: list[T] = []
    for each in every:
        page.append(each)
        if len(page) >= _ROWS_AT_ONCE:
            yield page
            page = []
    if page:
        yield page


def _masked(phone: int) -> str:
    return "" if phone == NO_PHONE else mask_phone(f"+{phone}")
