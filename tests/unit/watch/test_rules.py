"""What wakes somebody says what to do, and is tested."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runbook import sections
from tests.unit.watch.rules import PROMETHEUS, alerts, read, recorded

WATCHING = (PROMETHEUS.parents[1] / "docs" / "watching.md").read_text()
TESTS = read(PROMETHEUS / "tests" / "alerts_test.yml")["tests"]
CONFIGURATIONS = sorted(PROMETHEUS.glob("prometheus*.yml"))


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_leads_to_the_runbook(alert: dict[str, Any]) -> None:
    """It is a page or a ticket, says what is wrong, and its link leads to a section."""
    assert alert["labels"]["severity"] in {"page", "ticket"}
    told = alert["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    page, _, anchor = told["runbook_url"].partition("#")
    assert page == "docs/runbook.md"
    assert anchor in sections()


@pytest.mark.parametrize("alert", [alert["alert"] for alert in alerts()])
def test_an_alert_is_told_and_tried(alert: str) -> None:
    """docs/watching.md has it, and made-up series show it quiet and firing."""
    assert f"`{alert}`" in WATCHING
    (test,) = [test for test in TESTS if test["name"].startswith(f"{alert}:")]
    asked = test["promql_expr_test"]
    assert {bool(one["exp_samples"]) for one in asked} == {True, False}
    assert all(f'alertname="{alert}"' in one["expr"] for one in asked)


def test_every_section_that_tells_of_a_figure_has_an_alert() -> None:
    """A symptom that can be measured is measured."""
    linked = {alert["annotations"]["runbook_url"].partition("#")[2] for alert in alerts()}
    for anchor, section in sections().items():
        if re.search("`topup_[a-z]", section.text):
            assert anchor in linked, section.title


def test_names_of_rules_are_unique() -> None:
    """Two rules of one name would hide each other."""
    names = [rule["alert"] for rule in alerts()] + [rule["record"] for rule in recorded()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_every_way_to_find_replicas_gives_the_same_labels(path: Path) -> None:
    """Job, service and instance are what the rules ask for, however replicas are found."""
    (job,) = read(path)["scrape_configs"]
    assert job["job_name"] == "topup"
    assert job["honor_labels"] is True
    assert [PROMETHEUS / one for one in read(path)["rule_files"]] == [PROMETHEUS / "rules/*.yml"]


def test_pods_are_found_as_they_are_described() -> None:
    """By the labels and the port's name that each Deployment has; KEDA's labels are there."""
    (job,) = read(PROMETHEUS / "prometheus-kubernetes.yml")["scrape_configs"]
    named = {one.get("target_label") for one in job["relabel_configs"]}
    assert {"service", "instance", "namespace"} <= named
    base = PROMETHEUS.parent / "kubernetes" / "base"
    for service in ("gateway", "ratelimiter", "dispatcher", "ledger"):
        parts = yaml.safe_load_all((base / f"{service}.yaml").read_text())
        (pods,) = [one["spec"]["template"] for one in parts if one["kind"] == "Deployment"]
        assert pods["metadata"]["labels"] == {
            "app.kubernetes.io/part-of": "topup", "app.kubernetes.io/component": service,
        }  # fmt: skip
        ports = [port["name"] for one in pods["spec"]["containers"] for port in one["ports"]]
        assert ports.count("instance") == 1
