"""`make watch`: writes the files that are made of the metrics' declarations."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ops.watch.board import board
from ops.watch.document import document

PROJECT: Final = Path(__file__).parents[2]
MADE: Final[Mapping[str, Callable[[], str]]] = {
    "docs/metrics.md": document,
    "deploy/grafana/dashboards/topup.json": board,
}

if __name__ == "__main__":
    for name, make in MADE.items():
        (PROJECT / name).write_text(make())
