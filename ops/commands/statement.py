"""`topup reconcile --provider …`: a provider's statement of a day against the books."""

import asyncio
import datetime as dt
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from ops.errors import CommandFailed
from ops.files import check_new, made_whole, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ops.commands.proposing import Proposing
    from services.ledger.statements.comparison import Comparison, Reconciliation
    from services.ledger.statements.layout import Layout

_EXAMPLE: Final = (
    "for example: topup reconcile --provider LATCOM --file statement.csv --day 2026-11-23"
)
_LAYOUT_EXAMPLE: Final = "for example: --layout latcom.toml"
_REPORT_EXAMPLE: Final = "for example: --report day.html"
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SUFFIXES: Final = (".csv", ".json", ".html")
_INTERRUPTED: Final = 130
_SHOWN_MAX: Final = 50

Provider = Annotated[str, Parameter(help="Whose statement it is, for example LATCOM.")]
File = Annotated[Path, Parameter(help="What the provider sent: CSV or xlsx.")]
DayOption = Annotated[
    str, Parameter(help="The day, in the time zone of the layout, else in TIMEZONE.")
]
LayoutOption = Annotated[
    Path | None, Parameter(help="A TOML file that says what is in which column.")
]
Reports = Annotated[
    tuple[Path, ...],
    Parameter(negative=(), help="Write a new file .csv, .json or .html; may be given for each."),
]


class Wanted:
    """What was typed, checked before any server is asked."""

    def __init__(self, provider: str, file: Path, day: str, layout: Path | None) -> None:
        from services.ledger.statements.reading import Day

        self.provider = _provider(provider)
        self.file = file
        self.layout = _layout(self.provider, layout)
        self.day = Day(_date(day), self.layout.timezone or _timezone())


def reconcile_statement(wanted: Wanted, reports: tuple[Path, ...]) -> "Reconciliation":
    """Compare, write the reports, and return what came of it.

    Raises:
        CommandFailed: nothing was compared, and no report was made.
    """
    for report in reports:
        check_new(f"--report {report}", report, example=_REPORT_EXAMPLE, suffixes=_SUFFIXES)
    try:
        result = asyncio.run(_compare(wanted))
    except KeyboardInterrupt:
        raise CommandFailed(
            "interrupted: nothing was changed; it can be run again", status=_INTERRUPTED
        ) from None
    for report in reports:
        _write(result, report)
    return result


async def _compare(wanted: Wanted) -> "Reconciliation":
    from ops.books import open_database
    from ops.progress import Pace, shown
    from services.ledger.statements.comparison import Comparison
    from shared.runtime.clock import SystemClock

    comparison = Comparison(wanted.provider, wanted.file, wanted.layout, wanted.day)
    async with shown(Pace(), lambda: comparison.progress.read, total=None):
        await _read(comparison, wanted.file)
        async with open_database() as database:
            return await comparison.run(database, now_ms=SystemClock().now_ms())


async def _read(comparison: "Comparison", file: Path) -> None:
    from services.ledger.statements.errors import UnreadableStatement

    try:
        with readable(str(file), example=_EXAMPLE):
            await comparison.read_file()
    except UnreadableStatement as problem:
        raise CommandFailed(f"{file}: {problem}; {_EXAMPLE}", status=2) from None


def _provider(name: str) -> str:
    from shared.contracts.catalogue import offer_of
    from shared.contracts.errors import UnknownProvider

    try:
        return offer_of(name).provider
    except UnknownProvider as problem:
        raise CommandFailed(f"{problem}; {_EXAMPLE}", status=2) from None


def _date(text: str) -> dt.date:
    try:
        if _DAY.fullmatch(text):
            return dt.date.fromisoformat(text)
    except ValueError:
        pass
    raise CommandFailed(f"--day {text[:64]!r} is no day; {_EXAMPLE}", status=2)


def _layout(provider: str, file: Path | None) -> "Layout":
    from services.ledger.statements.errors import UnreadableStatement
    from services.ledger.statements.layout import BYTES_MAX, layout_of, read_layout

    if file is None:
        return layout_of(provider)
    with readable(f"--layout {file}", example=_LAYOUT_EXAMPLE), file.open("rb") as opened:
        text = opened.read(BYTES_MAX + 1)
    try:
        return read_layout(text)
    except UnreadableStatement as problem:
        raise CommandFailed(f"--layout {file}: {problem}; {_LAYOUT_EXAMPLE}", status=2) from None


def _timezone() -> str:
    from ops.connections import environment_here
    from ops.zone import timezone_of

    return timezone_of(environment_here(os.environ, needed=()))


def _write(result: "Reconciliation", file: Path) -> None:
    try:
        with made_whole(file) as making:
            making.writelines(_form(file)(result))
    except OSError as problem:
        raise CommandFailed(f"--report {file} cannot be made: {problem.strerror}") from None


def _form(file: Path) -> "Callable[[Reconciliation], Iterator[bytes]]":
    from services.ledger.statements.page import as_html
    from services.ledger.statements.reports import as_csv, as_json

    return {".csv": as_csv, ".json": as_json, ".html": as_html}[file.suffix]


def print_reconciliation_json(
    result: "Reconciliation", proposing: "list[Proposing] | None"
) -> None:
    """Print it for programs, with what became of each proposal where any was asked for."""
    import msgspec

    from ops.screens.listing import print_json
    from services.ledger.statements.reports import summary

    told = msgspec.to_builtins(summary(result), str_keys=True)
    print_json(told if proposing is None else told | {"proposing": proposing})


def print_reconciliation(result: "Reconciliation", reports: tuple[Path, ...]) -> None:
    """Print it for people."""
    import msgspec

    from ops.screens.listing import print_table
    from services.ledger.statements.reports import is_clean, summary

    left = result.left
    print(
        f"{result.provider}, {result.day.date} in {result.day.timezone}: {left.read:,} rows read, "
        f"{left.other_days:,} of other days, {left.not_paid:,} not paid there\n"
    )
    sums = [msgspec.to_builtins(each, str_keys=True) for each in summary(result).totals]
    print_table(
        [{name.replace("_", " "): str(value) for name, value in each.items()} for each in sums],
        empty="nothing was sold on that day, neither here nor there",
    )
    if result.resolves:
        print(f"\n{len(result.resolves):,} unresolved topups have their end in the statement:")
        print_table(
            [{"topup": each.topup_id, "to": each.to.value, "evidence": each.evidence}
             for each in result.resolves[:_SHOWN_MAX]],
            empty="",
        )  # fmt: skip
    print("\nall is matched" if is_clean(result) else "\nthere are differences")
    for report in reports:
        print(f"report: {report}")
