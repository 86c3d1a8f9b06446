"""What is declared once is what documents, rules and panels speak of."""

import re
from pathlib import Path

import pytest

from ops.watch.__main__ import MADE, PROJECT
from ops.watch.declared import FOREIGN, Metric, all_metrics, names_in
from ops.watch.shown import ROWS
from shared.runtime.metrics import LABELS
from tests.unit.watch.rules import alerts, recorded, rules

SAMPLES = {sample for metric in all_metrics() for sample in metric.samples}
KNOWN = SAMPLES | FOREIGN | {rule["record"] for rule in recorded()}
NO_METRICS = {
    "topup_id", "topup_ledger", "topup_new", "topup_export",  # a field, a role, a database, a file
    "topup_accepted", "topup_repeated", "topup_not_begun", "topup_moved", "topup_parked",
    "topup_settled", "topup_restored", "topup_woken", "topup_resolved", "topup_booked",
    "topup_not_accepted", "topup_abandoned",  # lines of logs
}  # fmt: skip


@pytest.mark.parametrize("metric", all_metrics(), ids=lambda metric: metric.name)
def test_a_metric_is_named_by_convention(metric: Metric) -> None:
    """Prefix, base unit, `_total` where it counts; a sentence; only labels that are bounded."""
    assert metric.name.startswith("topup_")
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert (metric.kind == "info") == metric.name.endswith("_info")
    assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|megabytes|percent)(_|$)", metric.name)
    assert metric.about.endswith(".")
    assert set(metric.labels) <= set(LABELS)


def test_no_label_is_listed_in_vain() -> None:
    """The table of labels has those that a metric has, and no other."""
    assert {label for metric in all_metrics() for label in metric.labels} == set(LABELS)


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_of_the_declarations_is_current(name: str) -> None:
    """`make watch` would change nothing."""
    assert (PROJECT / name).read_text() == MADE[name]()


@pytest.mark.parametrize(
    "query",
    [rule["expr"] for rule in rules()]
    + [query.expr for row in ROWS for panel in row.panels for query in panel.queries],
)
def test_every_metric_that_is_asked_for_exists(query: str) -> None:
    """No rule and no panel is dead because of a name."""
    assert names_in(query), "it asks for no metric"
    assert names_in(query) <= KNOWN


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "docs").glob("*.md")), ids=lambda path: path.name
)
def test_every_metric_that_a_document_names_exists(path: Path) -> None:
    """Who types a name that stands in a document finds it."""
    named = set(re.findall(r"\btopup_[a-z_]+[a-z]\b", path.read_text()))
    assert named - NO_METRICS <= SAMPLES | {metric.name for metric in all_metrics()}


def test_labels_in_rules_are_those_of_their_metrics() -> None:
    """What a rule selects or groups by is a label that something has."""
    known = set(LABELS) | {"le", "job", "instance", "service", "persistentvolumeclaim"}
    for rule in [*alerts(), *recorded()]:
        expr = rule["expr"]
        selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expr)
        grouped = re.findall(r"(?:by|on) \(([^)]*)\)", expr)
        used = {*selected, *(word for group in grouped for word in group.split(", "))}
        assert used <= known, expr
