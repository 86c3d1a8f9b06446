"""Lists and single things: a table or a line for people, JSON for programs."""

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH: Final = 240


def print_json(what: object) -> None:
    """Print it as indented JSON; times are ISO 8601 in UTC."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(what)).decode() + "\n")


def print_table(rows: Sequence[Mapping[str, str]], *, empty: str) -> None:
    """Print the rows under the names of their columns, or the sentence where there are none."""
    if not rows:
        sys.stdout.write(f"{empty}\n")
        return
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row.values()))
    _console().print(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print one fact a line."""
    width = max(map(len, facts))
    sys.stdout.writelines(f"{name:<{width}}  {value}\n" for name, value in facts.items())


def moment(at: dt.datetime | None) -> str:
    """Return a moment for people, in UTC to the minute; a dash for none."""
    return "-" if at is None else f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M}Z"


def _console() -> Console:
    """Return a console that does not fold lines for a program that reads them."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)
