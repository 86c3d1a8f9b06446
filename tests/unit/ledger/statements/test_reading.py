"""A statement's file is read exactly as it is meant, or refused in one clear sentence."""

import contextlib
import csv
import datetime as dt
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ledger.statements import workbook
from services.ledger.statements.errors import UnreadableStatement
from services.ledger.statements.layout import Layout, layout_of, read_layout
from services.ledger.statements.reading import Day, Statement
from services.ledger.statements.tables import NO_ID, NO_PHONE, NO_TIME, Line
from services.ledger.statements.workbook import Workbook

ID: Final = "019a0000-0000-7000-8000-000000000001"
DAY: Final = Day(dt.date(2026, 11, 23), "America/Mexico_City")
HEAD: Final = "distTransid,transId,targetMSISDN,amount,currency,date,status"
ROW: Final = f"{ID},77,5512345678,10.00,MXN,2026-11-23 14:05:00,Success"
AT_MS: Final = 1_795_464_300_000  # 14:05 in Mexico City


def read(path: Path, layout: Layout | None = None, day: Day = DAY) -> list[Line]:
    """Return the lines of a file."""
    return list(Statement(path, layout or layout_of("LATCOM"), day, currency="MXN").lines())


@pytest.fixture
def statement(tmp_path: Path) -> Callable[..., Path]:
    """Write a file: its lines, or its bytes."""

    def write(*lines: str, raw: bytes | None = None, name: str = "statement.csv") -> Path:
        path = tmp_path / name
        path.write_bytes("\r\n".join([*lines, ""]).encode() if raw is None else raw)
        return path

    return write


def book(path: Path, rows: Sequence[Sequence[Any]]) -> Path:
    """Write a workbook as a spreadsheet does."""
    made = openpyxl.Workbook()
    assert made.active is not None
    for row in rows:
        made.active.append(list(row))
    made.save(path)
    return path


def test_a_line_says_what_it_says(statement: Callable[..., Path]) -> None:
    """Id, transaction, phone, amount and time are as they stand there."""
    (found,) = read(statement(HEAD, ROW))
    assert found == Line(
        row=2,
        reference=ID,
        topup_id=UUID(ID).bytes,
        transaction="77",
        phone=525512345678,
        amount_minor=1_000,
        currency="MXN",
        at_ms=AT_MS,
    )


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separator_and_byte_order_mark_are_found_out(
    statement: Callable[..., Path], separator: str, encoding: str
) -> None:
    """Nobody has to say them."""
    text = f"{HEAD}\n{ROW}\n".replace(",", separator)
    assert read(statement(raw=text.encode(encoding)))[0].at_ms == AT_MS


def test_the_header_is_found_below_a_title(statement: Callable[..., Path]) -> None:
    """Lines above it, empty ones and a sum at the foot are no rows."""
    layout = read_layout(b"footer_rows = 1\ncurrency = 'MXN'\n[columns]\n"
                         b"reference=['Their Ref']\namount=['monto']\n")  # fmt: skip
    path = statement(
        "Statement of November", "", "their  ref ,x,MONTO", f"{ID}-2,,20", "", "Sum,,20"
    )
    (found,) = read(path, layout)
    assert (found.row, found.topup_id, found.amount_minor) == (4, UUID(ID).bytes, 2_000)


@pytest.mark.parametrize(
    ("text", "decimal", "minor"),
    [
        ("10", ".", 1_000),
        ("10.5", ".", 1_050),
        ("$ 1,234.50", ".", 123_450),
        ("1 234.500", ".", 123_450),
        ("1.234,50", ",", 123_450),
        ("10,5", ",", 1_050),
    ],
)
def test_amounts(statement: Callable[..., Path], text: str, decimal: str, minor: int) -> None:
    """Both decimal signs, with and without groups of thousands, to the cent."""
    layout = read_layout(f"decimal='{decimal}'\n[columns]\nphone=['p']\namount=['a']".encode())
    path = statement("p;a", f"5255123456;{text}")
    assert read(path, layout)[0].amount_minor == minor


@given(st.integers(1, 10**11), st.sampled_from([".", ","]), st.booleans())
def test_every_amount_is_read_back(minor: int, decimal: str, grouped: bool) -> None:
    """To the cent, however it is written."""
    from services.ledger.statements.cells import amount_reader

    other = "," if decimal == "." else "."
    whole = f"{minor // 100:,}" if grouped else str(minor // 100)
    text = f"{whole.replace(',', other)}{decimal}{minor % 100:02}"
    assert amount_reader(decimal)(text, "MXN") == minor


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("5512345678", 525512345678),
        ("+52 55 1234 5678", 525512345678),
        ("5215512345678", 525512345678),
        ("55XXXX5678", NO_PHONE),
        ("", NO_PHONE),
    ],
)
def test_phones(statement: Callable[..., Path], text: str, phone: int) -> None:
    """As people write them; one that is masked is none."""
    path = statement(HEAD, ROW.replace("5512345678", text))
    assert read(path)[0].phone == phone


def test_rows_of_other_days_and_unpaid_ones_are_counted(statement: Callable[..., Path]) -> None:
    """They are no lines of the day; one near midnight is kept for what was sold just before."""
    rows = [
        ROW,
        ROW.replace("Success", "Fail"),
        ROW.replace("2026-11-23 14", "2026-11-24 14"),
        ROW.replace("2026-11-23 14", "2026-11-24 00"),
        ROW.replace("2026-11-23 14:05:00", "2026-11-23"),
        ROW.replace("2026-11-23 14:05:00", "2026-11-23T20:05:00Z"),
    ]
    reading = Statement(statement(HEAD, *rows), layout_of("LATCOM"), DAY, currency="MXN")
    lines = list(reading.lines())
    assert [each.counts for each in lines] == [True, False, True, True]
    assert [each.at_ms for each in lines][2:] == [NO_TIME, AT_MS]
    assert (reading.left.read, reading.left.other_days, reading.left.not_paid) == (6, 2, 1)


def test_date_and_time_may_stand_apart(statement: Callable[..., Path], tmp_path: Path) -> None:
    """In texts, and in a workbook's numbers of days."""
    columns = "[columns]\ndate=['fecha']\ntime=['hora']\nphone=['p']\namount=['a']"
    form = read_layout(f"time_format='%d/%m/%Y %H:%M:%S'\n{columns}".encode())
    path = statement("fecha,hora,p,a", "23/11/2026,14:05:00,5255123456,10")
    assert read(path, form)[0].at_ms == AT_MS
    numbers: list[list[Any]] = [
        ["fecha", "hora", "p", "a"],
        [46349, 46349.586805555555 % 1, 5255123456, 10],
    ]
    assert read(book(tmp_path / "s.xlsx", numbers), read_layout(columns.encode()))[0].at_ms == AT_MS


def test_a_workbook_says_the_same_as_the_text(
    statement: Callable[..., Path], tmp_path: Path
) -> None:
    """Numbers, dates and texts of cells are what they show."""
    moment = dt.datetime(2026, 11, 23, 14, 5)  # noqa: DTZ001 - a workbook knows no zone
    row = [ID, 77, 5512345678, 10.1 + 0.2, "MXN", moment, "Success"]
    path = book(tmp_path / "s.xlsx", [HEAD.split(","), row])
    text = statement(HEAD, ROW.replace("10.00", "10.30"))
    assert read(path) == read(text)


cells = st.one_of(
    st.none(),
    st.integers(-(10**14), 10**14),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12).filter(
        lambda text: not text.startswith("=") and "_x" not in text and text.isprintable()
    ),
    st.booleans(),
)


@settings(max_examples=30, deadline=None)  # another program writes each
@given(st.lists(st.lists(cells, max_size=6), min_size=1, max_size=6))
def test_rows_of_workbooks_are_those_that_were_written(rows: list[list[Any]]) -> None:
    """Shared texts, gaps, numbers: cell by cell as another program wrote them."""
    file = io.BytesIO()
    made = openpyxl.Workbook()
    assert made.active is not None
    for number, row in enumerate(rows, 1):
        for column, cell in enumerate(row, 1):
            if cell is not None:
                made.active.cell(number, column, cell)
    made.save(file)
    with Workbook(file) as read_again:
        found = dict(read_again.rows(None))
    for number, row in enumerate(rows, 1):
        wanted = ["" if cell is None else _shown(cell) for cell in row]
        got = found.get(number, [])
        assert got + [""] * (len(wanted) - len(got)) == wanted


def _shown(cell: object) -> str:
    return str(int(cell)) if isinstance(cell, bool) else str(cell).strip()


def refused(path: Path, layout: Layout | None = None) -> str:
    """Return why a file is refused."""
    with pytest.raises(UnreadableStatement) as problem:
        read(path, layout)
    return str(problem.value)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([HEAD.replace("amount", "cuanto"), ROW],
         "no column for amount (any of 'amount', 'importe', 'monto'); columns found: 'dist"),
        (["amount,date", "10,2026-11-23"], "no column for reference, transaction or phone"),
        ([HEAD], "a header and no row below it"),
        ([HEAD, ROW[:40]], "row 2: it has 3 cells and the header 7: is the file whole?"),
        ([HEAD, f'"{ROW}'], "is not CSV"),
        ([HEAD, ROW.replace("10.00", "10,00").replace(",", ";")], "row 2: it has 1 cells"),
        ([HEAD, ROW.replace("10.00", "-10")], "row 2: amount '-10' is not a number above 0"),
        ([HEAD, ROW.replace("10.00", "0.00")], "row 2: amount is 0"),
        ([HEAD, ROW.replace("10.00", "0.001")], "row 2: amount '0.001' has more decimals"),
        ([HEAD, ROW.replace("MXN", "XXX")], "row 2: currency 'XXX' is none of"),
        ([HEAD, ROW.replace("Success", "Perhaps")], "row 2: status 'Perhaps' is neither"),
        ([HEAD, ROW.replace("2026-11-23 14", "23.11.26 14")], "time_format"),
        ([HEAD, ",,,10,MXN,2026-11-23,Success"], "footer_rows = 1"),
        ([HEAD + ",amount", ROW + ",10"], "column 'amount' is there twice"),
        (["\x00\x01", ROW], "line 1 holds what no text has"),
        (["x" * 70_000], "line 1 has over 65536 characters"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused(
    statement: Callable[..., Path], lines: list[str], said: str
) -> None:
    """The sentence names the row or the column, and what would do."""
    assert said in refused(statement(*lines))


def test_another_encoding_is_named(statement: Callable[..., Path]) -> None:
    """And read, once the layout says it."""
    raw = f"{HEAD},nota\n{ROW},Telefónica\n".encode("latin-1")
    assert "encoding = 'windows-1252'" in refused(statement(raw=raw))
    own = b"encoding='windows-1252'\n[columns]\nreference=['distTransid']\namount=['amount']"
    assert len(read(statement(raw=raw), read_layout(own))) == 1


def test_an_empty_file_a_folder_and_an_old_workbook_are_refused(
    statement: Callable[..., Path], tmp_path: Path
) -> None:
    """Each by its own sentence."""
    assert refused(statement(raw=b"")) == "it is empty"
    assert refused(tmp_path) == "it is no file"
    old = statement(raw=b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    assert "old workbook" in refused(old)


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    """Write a zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def repacked(path: Path, **changed: bytes) -> Path:
    """Return the workbook with some members changed; dots and slashes of names are left out."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    for name, content in members.items():
        key = "".join(filter(str.isalnum, name.rpartition("/")[2].partition(".")[0]))
        members[name] = changed.get(key, content)
    return zipped(path.with_name("changed.xlsx"), members)


def test_a_workbook_may_write_the_namespace_before_each_name(tmp_path: Path) -> None:
    """Some programs do; cells may also leave out where they stand."""
    whole = book(tmp_path / "s.xlsx", [HEAD.split(","), ROW.split(",")])
    cells = "".join(f"<x:c t='str'><x:v>{text}</x:v></x:c>" for text in ROW.split(","))
    heads = "".join(
        f"<x:c t='inlineStr'><x:is><x:t>{text}</x:t></x:is></x:c>" for text in HEAD.split(",")
    )
    sheet = f"<x:worksheet xmlns:x='m'><x:row>{heads}</x:row><x:row>{cells}</x:row></x:worksheet>"
    assert read(repacked(whole, sheet1=sheet.encode())) == read(whole)


def test_a_broken_workbook_is_refused(tmp_path: Path) -> None:
    """Half of one, another zip file, damaged or odd insides: never a traceback."""
    whole = book(tmp_path / "s.xlsx", [HEAD.split(","), ROW.split(",")])
    raw = whole.read_bytes()
    half, bent = tmp_path / "half.xlsx", tmp_path / "bent.xlsx"
    half.write_bytes(raw[: len(raw) // 2])
    assert "not a whole one" in refused(half)
    for place in range(60, len(raw), 211):
        bent.write_bytes(raw[:place] + bytes([raw[place] ^ 0x55]) + raw[place + 1 :])
        with contextlib.suppress(UnreadableStatement):
            read(bent)
    assert "not of a workbook" in refused(zipped(tmp_path / "a.xlsx", {"a.txt": b"a"}))
    assert "save it again" in refused(repacked(whole, sheet1=b"<a><b></a>"))
    grows = b"<!DOCTYPE a [<!ENTITY a 'aaaa'>]><a>&a;</a>"
    assert "document type" in refused(repacked(whole, sheet1=grows))
    far = b"<worksheet><sheetData><row><c r='XFD1'><v>1</v></c></row></sheetData></worksheet>"
    assert "over 256 columns" in refused(repacked(whole, sheet1=far))
    assert "is no sheet of cells" in refused(
        repacked(whole, sheet1=b"<a b='" + bytes(b"x" * 3_000_000) + b"'/>")
    )
    lost = b"<worksheet><row><c t='s'><v>99</v></c></row></worksheet>"
    assert "save it again" in refused(repacked(whole, sheet1=lost))
    assert "no sheet 'July'; it has 'Sheet'" in refused(
        whole, read_layout(b"sheet='July'\n[columns]\nphone=['p']\namount=['a']")
    )


def test_a_workbook_that_would_grow_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it unpacks to is known before any of it is; one that lies about it ends there too."""
    monkeypatch.setattr(workbook, "UNPACKED_BYTES_MAX", 1 << 20)
    whole = book(tmp_path / "s.xlsx", [HEAD.split(","), ROW.split(",")])
    bomb = repacked(whole, sheet1=b"<worksheet>" + b" " * (2 << 20) + b"</worksheet>")
    assert bomb.stat().st_size < 20_000
    assert "it would unpack to" in refused(bomb)
    lying = bomb.read_bytes().replace((2_097_175).to_bytes(4, "little"), (99).to_bytes(4, "little"))
    bomb.write_bytes(lying)
    assert lying.count((99).to_bytes(4, "little")) >= 1
    assert "fetch" in refused(bomb)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[columns", "layout cannot be used"),
        (b"\xff", "not UTF-8"),
        (b"[columns]\nphone=['p']", "columns.amount names no header"),
        (b"[columns]\namount=['a']\nprice=['b']", "unknown field `price`"),
        (b"decimal='x'\n[columns]\namount=['a']", "$.decimal"),
        (b"timezone='Mars/Base'\n[columns]\namount=['a']", "timezone 'Mars/Base' is not known"),
        (b"encoding='klingon'\n[columns]\namount=['a']", "encoding 'klingon' is not known"),
        (b"[columns]\namount=['a']\nstatus=['s']", "`paid` does not say"),
        (b"x" * 70_000, "over 65536 bytes"),
    ],
)
def test_a_wrong_layout_is_refused(text: bytes, said: str) -> None:
    """The sentence says which setting, and where an example is."""
    with pytest.raises(UnreadableStatement) as problem:
        read_layout(text)
    assert said in str(problem.value)
    assert "docs/reconciliation.md" in str(problem.value)


def test_a_line_without_an_id_of_ours_has_none(statement: Callable[..., Path]) -> None:
    """A reference of theirs stays a text."""
    (found,) = read(statement(HEAD, ROW.replace(ID, "MERCHANT-7")))
    assert (found.topup_id, found.reference) == (NO_ID, "MERCHANT-7")


@given(st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=4), max_size=4))
def test_any_table_is_read_or_refused(rows: list[list[str]]) -> None:
    """Nothing that CSV can hold ends in a traceback."""
    from tempfile import NamedTemporaryFile

    text = io.StringIO(newline="")
    csv.writer(text).writerows([["phone", "amount", "date"], *rows])
    with NamedTemporaryFile() as file:
        file.write(text.getvalue().encode("utf-8", "replace"))
        file.flush()
        with contextlib.suppress(UnreadableStatement):
            read(Path(file.name))
