"""A reconciliation as one HTML page: complete in itself, no script, for light and dark."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

import msgspec

from services.ledger.statements.classes import Class
from services.ledger.statements.comparison import Reconciliation
from services.ledger.statements.reports import COLUMNS, Row, row_of, sums

SHOWN_MAX: Final = 1_000
"""Of each class; a browser shows no million rows, and the CSV has all."""

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --bad: #b3261e; --good: #1b6e3c; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --good: #7bd8a0; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid var(--line); }
th { background: var(--soft); white-space: nowrap; } td { white-space: nowrap; }
td.number { text-align: right; }
tr.whole td { font-weight: 600; }
.bad { color: var(--bad); } .good { color: var(--good); }
@media print { body { margin: 0; max-width: none; } }
"""
_NUMBERS: Final = frozenset(
    {"theirs_count", "theirs_amount", "ours_count", "ours_amount", "difference", "confidence"}
    | {"row", "their_amount", "our_amount"}
)


def as_html(result: Reconciliation) -> Iterator[bytes]:
    """Yield the page; every text in it is escaped."""
    title = f"{result.provider}, {result.day.date}"
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>Statement of {escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Statement of {escape(title)}</h1>\n"
    ).encode()
    yield _facts(result).encode()
    yield b"<h2>Totals</h2>\n"
    every = [msgspec.to_builtins(each) for each in sums(result)]
    yield _table(list(every[0]) if every else [], every).encode()
    if result.resolves:
        yield b"<h2>Proposed resolves</h2>\n"
        proposed = [msgspec.to_builtins(each) for each in result.resolves[:SHOWN_MAX]]
        yield _table(list(proposed[0]), proposed).encode()
    for kind, (shown, count) in _differences(result).items():
        yield _class(kind, shown, count).encode()
    yield b"</body>\n</html>\n"


def _facts(result: Reconciliation) -> str:
    left = result.left
    return (
        f"<p>File {escape(result.file)} (SHA-256 {result.file_sha256}), "
        f"a day of {escape(result.day.timezone)}. "
        f"Of {left.read:,} rows, {left.other_days:,} are of other days and {left.not_paid:,} say "
        "that they were not paid.</p>\n"
    )


def _differences(result: Reconciliation) -> dict[Class, tuple[list[Row], int]]:
    """Return what is shown of each class, and how many there are."""
    shown: dict[Class, list[Row]] = {kind: [] for kind in Class if kind is not Class.MATCHED}
    counts = dict.fromkeys(shown, 0)
    for found in result.findings():
        if found.kind in shown:
            counts[found.kind] += 1
            if counts[found.kind] <= SHOWN_MAX:
                shown[found.kind].append(row_of(result, found))
    return {kind: (rows, counts[kind]) for kind, rows in shown.items()}


def _class(kind: Class, shown: Sequence[Row], count: int) -> str:
    if not shown:
        return f'<h2>{kind.capitalize()}</h2>\n<p class="good">None.</p>\n'
    said = f"{count:,}"
    if count > len(shown):
        said += f", of which {len(shown):,} are shown: the CSV report has all"
    columns = [name for name in COLUMNS if name != "class" and _any(shown, name)]
    cells = [msgspec.to_builtins(each) for each in shown]
    return f'<h2>{kind.capitalize()}</h2>\n<p class="bad">{said}.</p>\n' + _table(columns, cells)


def _any(rows: Iterable[Row], name: str) -> bool:
    return any(getattr(row, name) not in ("", None) for row in rows)


def _table(columns: Sequence[str], rows: Iterable[dict[str, object]]) -> str:
    heads = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in columns)
    lines = []
    for row in rows:
        whole = ' class="whole"' if row.get("class") == "all" else ""
        cells = "".join(_cell(name, row.get(name)) for name in columns)
        lines.append(f"<tr{whole}>{cells}</tr>\n")
    return (
        f'<div class="scroll"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n'
        + "".join(lines)
        + "</tbody>\n</table></div>\n"
    )


def _cell(name: str, value: object) -> str:
    number = ' class="number"' if name in _NUMBERS else ""
    return f"<td{number}>{escape('' if value is None else str(value))}</td>"
