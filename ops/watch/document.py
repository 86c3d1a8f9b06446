"""Writes `docs/metrics.md`."""

from collections.abc import Iterator
from types import ModuleType
from typing import Final

from ops.watch.declared import DECLARED_BY, metrics_of
from shared.runtime.metrics import LABELS

_HEAD: Final = """\
# Metrics

Every replica answers `/metrics` on its instance port; [watching.md](watching.md) tells who collects
them, which alerts rest on them, and what the board shows. This page is made of the declarations
(`services/*/metrics.py`, `shared/runtime/metrics.py`) by `make watch`.

Base units (seconds, bytes, minor units of a currency); counters end in `_total`; a histogram has
`_bucket`, `_sum` and `_count`. Ages of topups and entries are by the clock of the server that has
them. `process_*` and `python_*` are the Python client's own.
"""


def document() -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, *_sections(), *_labels()]) + "\n"


def _sections() -> Iterator[str]:
    for who, module in DECLARED_BY.items():
        yield f"## {who[0].upper()}{who[1:]}"
        yield _purpose(module)
        yield "| metric | kind | labels | what it tells |"
        yield "| --- | --- | --- | --- |"
        for metric in metrics_of(module):
            labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
            yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.about} |"
        yield ""


def _purpose(module: ModuleType) -> str:
    return " ".join((module.__doc__ or "").split()) + "\n"


def _labels() -> Iterator[str]:
    yield "## Labels"
    yield "All there are. None has a value that merchants choose, nor one without a bound.\n"
    yield "| label | its values |"
    yield "| --- | --- |"
    for label, values in LABELS.items():
        yield f"| `{label}` | {values} |"
