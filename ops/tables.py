"""Replicas as a table for people and as a list for programs."""

from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from ops.supervisor.replica import Row, Status

_SHOWN = ("service", "id", "pid", "port", "instance_port", "state", "restarts")
_COLOURS = {Status.READY: "green", Status.BACKING_OFF: "red"}


def as_list(rows: Sequence[Row]) -> str:
    """Return a JSON list with exactly the shown columns."""
    listed = [{name: getattr(row, name) for name in _SHOWN} for row in rows]
    return msgspec.json.format(msgspec.json.encode(listed)).decode() + "\n"


def print_rows(rows: Sequence[Row]) -> None:
    """Print a table, and under it the last words of what does not start."""
    table = Table(box=None, pad_edge=False)
    for name in _SHOWN:
        right = name in {"pid", "port", "instance_port", "restarts"}
        table.add_column(name.replace("_", " "), justify="right" if right else "left")
    for row in rows:
        colour = _COLOURS.get(row.state, "yellow")
        texts = [
            str(getattr(row, name) if getattr(row, name) is not None else "-") for name in _SHOWN
        ]
        texts[_SHOWN.index("state")] = f"[{colour}]{row.state}[/]"
        table.add_row(*texts)
    console = Console()
    console.print(table)
    for row in rows:
        if row.state is Status.BACKING_OFF:
            console.print(f"\n{row.id} does not start; its last lines:", highlight=False)
            console.print("\n".join(row.last_lines), markup=False, highlight=False)
