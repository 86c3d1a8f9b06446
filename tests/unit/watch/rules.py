"""Prometheus' files as data."""

from pathlib import Path
from typing import Any

import yaml

PROMETHEUS = Path(__file__).parents[3] / "deploy" / "prometheus"


def read(path: Path) -> Any:
    """Return what a YAML file holds."""
    return yaml.safe_load(path.read_text())


def rules() -> list[dict[str, Any]]:
    """Return all rules, recording ones and alerts."""
    files = sorted((PROMETHEUS / "rules").glob("*.yml"))
    groups = [group for path in files for group in read(path)["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """Return the alerts."""
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> list[dict[str, Any]]:
    """Return what is recorded."""
    return [rule for rule in rules() if "record" in rule]
