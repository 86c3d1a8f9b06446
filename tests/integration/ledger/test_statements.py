"""`topup reconcile --provider …` as it is typed, on real books: what it prints, writes, refuses."""

import asyncio
import csv
import io
import json
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
import pytest

from ops.cli import main
from services.ledger.books import Books
from services.ledger.entries import Outcome, Request, read_outcome, read_request
from shared.contracts.events import Evidence, TopupRequested, encode
from shared.contracts.states import State
from tests.integration.ledger.conftest import as_ledger, opened

pytestmark = pytest.mark.integration

NOON_MS: Final = 1_795_456_800_000  # 2026-11-23 12:00 in Mexico City
MIDNIGHT_MS: Final = NOON_MS + 12 * 3_600_000
HEAD: Final = "distTransid,transId,targetMSISDN,amount,currency,date,status"
DAY: Final = ("--provider", "LATCOM", "--day", "2026-11-23")


class Done(msgspec.Struct, frozen=True):
    """A command that has ended."""

    status: int
    out: str
    err: str


Type = Callable[..., Done]


@pytest.fixture
def topup(
    ledger_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Type:
    """Type a command line, in a folder with the statement, as the ledger's own role."""
    monkeypatch.setenv("TOPUP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DATABASE_URL", as_ledger(ledger_url))
    monkeypatch.setenv("TIMEZONE", "America/Mexico_City")
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["topup", "reconcile", *words])
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        assert code is None or isinstance(code, int)
        return Done(code or 0, *capfd.readouterr())

    return run


def topup_id(number: int) -> str:
    """Return the id of a topup."""
    return f"0195f000-0000-7000-8000-{number:012x}"


def entries(
    number: int, state: State, *, at_ms: int = NOON_MS, amount_minor: int = 1_000
) -> tuple[Request, Outcome]:
    """Return a topup's entries."""
    body = TopupRequested(
        customer_id="C1",
        phone=f"+525512345{number:03}",
        country="MX",
        amount_minor=amount_minor,
        currency="MXN",
        provider="LATCOM",
        product="TFE_MXN_20_TO_2000" if amount_minor >= 3_000 else "XOOM_10_MXN",
    )
    asked = {"id": topup_id(number).encode(), "body": encode(body), "at": b"%d" % at_ms}
    named = f"T{number}" if state is State.SUCCEEDED else None
    evidence = Evidence(provider_reference=named, raw={}, attempt=1)
    ended = {
        **asked,
        "seq": b"1",
        "state": state.value.encode(),
        "reason": b"" if state is State.SUCCEEDED else b"no_answer",
        "evidence": encode(evidence),
    }
    return read_request("0-1", asked), read_outcome(f"{at_ms + 3_000}-0", ended)


def book(ledger_url: str, *sold: tuple[Request, Outcome]) -> None:
    """Book them."""

    async def run() -> None:
        async with opened(as_ledger(ledger_url)) as database:
            asked, ended = zip(*sold, strict=True)
            await Books(database).book(asked, ended)

    asyncio.run(run())


def line(number: int | None, *, amount: str = "10.00", at: str = "2026-11-23 12:00:03") -> str:
    """Return the provider's line of a topup; of none, it has the phone of the first."""
    named = f"{topup_id(number)}-1,T{number}" if number else ","
    return f"{named},5512345{number or 1:03},{amount},MXN,{at},Success"


@pytest.fixture
def statement(ledger_url: str) -> Path:
    """Books, and a statement with one of each class; it is where the command is typed."""
    book(
        ledger_url,
        entries(1, State.SUCCEEDED),
        entries(2, State.SUCCEEDED),
        entries(3, State.SUCCEEDED),
        entries(4, State.FAILED),
        entries(5, State.UNRESOLVED),
        entries(6, State.SUCCEEDED),
        entries(7, State.SUCCEEDED, at_ms=NOON_MS - 10 * 86_400_000),
        entries(8, State.FAILED),
        entries(9, State.SUCCEEDED, at_ms=MIDNIGHT_MS - 60_000),
        entries(10, State.SUCCEEDED, at_ms=MIDNIGHT_MS - 86_400_000 - 1_000),
    )
    path = Path("statement.csv")
    path.write_text(
        "\n".join([
            HEAD,
            line(1),
            line(2, amount="20.00"),
            line(3),
            line(3),
            line(4),
            line(5),
            line(7),
            line(10, at="2026-11-23 00:00:01"),
            '=1+1,"<script>alert(1)</script>",5512345999,10.00,MXN,2026-11-23 13:00:00,Success',
            line(9, at="2026-11-24 00:00:05"),
            line(None, at="2026-11-22 12:00:00"),
        ])
    )  # fmt: skip
    return path


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


CLASSES: Final = {
    "matched": 5,  # 1, 3, 5, and 7 and 10 of earlier days
    "amount differs": 1,
    "paid twice": 1,
    "paid though we said failed": 1,
    "theirs missing here": 1,
    "ours missing there": 1,
}


def test_every_row_is_in_one_class_and_all_adds_up(topup: Type, statement: Path) -> None:
    """The table, the three reports and --json tell the same, to the cent."""
    reports = [f"day.{kind}" for kind in ("csv", "json", "html")]
    words = [word for report in reports for word in ("--report", report)]
    done = topup(*DAY, "--file", str(statement), *words)
    assert (done.status, done.err) == (0, "")
    for report in reports:
        assert f"report: {report}" in done.out
        assert Path(report).stat().st_mode & 0o077 == 0
    told = json.loads(Path("day.json").read_bytes())
    rows = told.pop("rows")
    assert json.loads(topup(*DAY, "--file", str(statement), "--json").out) == told
    in_csv = list(csv.DictReader(io.StringIO(Path("day.csv").read_text(), newline="")))
    assert [row["class"] for row in in_csv] == [row["class"] for row in rows]
    counted = {kind: sum(row["class"] == kind for row in rows) for kind in CLASSES}
    assert counted == CLASSES
    assert (told["lines_read"], told["lines_of_other_days"], told["clean"]) == (11, 2, False)
    for side in ("theirs", "ours"):
        *classes, whole = told["totals"]
        assert whole["class"] == "all"
        assert sum(each[f"{side}_count"] for each in classes) == whole[f"{side}_count"]
        added = sum(_cents(each[f"{side}_amount"]) for each in classes)
        assert added == _cents(whole[f"{side}_amount"])
    assert _cents(told["totals"][-1]["theirs_amount"]) == 10_000
    assert _cents(told["totals"][-1]["ours_amount"]) == 7_000
    assert told["accepted_before"]["MXN"]["count"] == 2
    assert told["paid_on_another_day"]["MXN"]["count"] == 1
    assert told["not_expected"]["MXN"]["count"] == 1


def _cents(text: str) -> int:
    return int(text.replace(".", ""))


def test_what_the_statement_shows_of_unresolved_topups(topup: Type, statement: Path) -> None:
    """One that was paid is proposed with the row that shows it."""
    (proposed,) = json.loads(topup(*DAY, "--file", str(statement), "--json").out)["proposed"]
    assert (proposed["topup_id"], proposed["to"]) == (topup_id(5), "succeeded")
    assert "statement.csv of 2026-11-23, row 7, transaction T5, 100 % sure" in proposed["evidence"]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_reports_run_nothing(topup: Type, statement: Path) -> None:
    """No cell is a formula; the page has no script, asks nobody, and fits light and dark."""
    topup(*DAY, "--file", str(statement), "--report", "day.csv", "--report", "day.html")
    with Path("day.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r")]
    assert "'=1+1" in cells
    page = Path("day.html").read_text()
    tags = _Tags()
    tags.feed(page)
    assert "script" not in tags.seen
    assert tags.addresses == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "color-scheme: light dark" in page
    assert "+525512345001" not in page + Path("day.csv").read_text()


def test_amounts_may_be_without_the_tax_inside(topup: Type, ledger_url: str) -> None:
    """The layout says so; then 25.86 is what a topup of 30 costs."""
    book(ledger_url, entries(1, State.SUCCEEDED, amount_minor=3_000))
    Path("net.csv").write_text(f"{HEAD}\n{line(1, amount='25.86')}\n")
    Path("net.toml").write_text(
        "tax_inside = false\n[columns]\nreference = ['distTransid']\namount = ['amount']\n"
    )
    found = topup(*DAY, "--file", "net.csv", "--layout", "net.toml")
    assert (found.status, found.err) == (0, "")
    assert "all is matched" in found.out


def test_the_day_is_of_the_layouts_time_zone(topup: Type, ledger_url: str) -> None:
    """The same file and day, hours apart."""
    book(ledger_url, entries(1, State.SUCCEEDED, at_ms=MIDNIGHT_MS - 60_000))
    Path("utc.csv").write_text(f"{HEAD}\n{line(1, at='2026-11-24 05:59:30')}\n")
    own = "timezone = 'UTC'\n[columns]\nreference = ['distTransid']\namount = ['amount']\n"
    Path("utc.toml").write_text(own + "date = ['date']\n")
    words = ("--provider", "LATCOM", "--file", "utc.csv", "--layout", "utc.toml", "--json")
    at_utc = json.loads(topup(*words, "--day", "2026-11-24").out)
    assert (at_utc["clean"], at_utc["totals"][0]["theirs_count"]) == (True, 1)
    assert json.loads(topup(*words, "--day", "2026-11-23").out)["lines_of_other_days"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*DAY, "--file", "none.csv"), "none.csv cannot be read: No such file"),
        ((*DAY, "--file", "empty.csv"), "empty.csv: it is empty"),
        ((*DAY, "--file", "half.csv"), "row 3: it has 2 cells and the header 7"),
        ((*DAY, "--file", "s.csv", "--report", "day.pdf"), "does not end in .csv, .json, .html"),
        ((*DAY, "--file", "s.csv", "--report", "s.csv"), "is there already"),
        ((*DAY, "--file", "s.csv", "--layout", "s.csv"), "the layout cannot be used"),
        (("--provider", "LATCOM", "--file", "s.csv", "--day", "2026-02-30"), "is no day"),
        (("--provider", "NOBODY", "--file", "s.csv", "--day", "2026-02-03"), "known: LATCOM"),
    ],
)
def test_what_is_wrong_is_one_line_and_changes_nothing(
    topup: Type, words: tuple[str, ...], said: str
) -> None:
    """With status 2, before the books are asked, and without a file."""
    Path("empty.csv").touch()
    Path("s.csv").write_text(f"{HEAD}\n{line(1)}\n")
    Path("half.csv").write_text(f"{HEAD}\n{line(1)}\n{line(2)[:40]}")
    before = sorted(Path().rglob("*"))
    done = topup(*words)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert said in done.err
    assert "for example" in done.err
    assert sorted(Path().rglob("*")) == before


def test_the_books_are_read_and_not_written(topup: Type, statement: Path, ledger_url: str) -> None:
    """The ledger's own role is enough, and every row stays as it was."""

    def everything() -> list[Any]:
        with psycopg.connect(ledger_url) as connection:
            return connection.execute("SELECT * FROM topups ORDER BY topup_id").fetchall()

    before = everything()
    assert topup(*DAY, "--file", str(statement)).status == 0
    assert everything() == before
