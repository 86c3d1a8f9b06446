"""What is logged is what docs/logs.md says: each event, with these fields, under these names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "logs.md").read_text()
LEVELS = {"debug", "info", "warning", "error", "exception"}
WORD = re.compile(r"`([a-z_]+)`")
OF_ONE_EVENT = {
    "route", "owner", "service", "gateways", "key", "has", "step", "path", "whose", "active",
    "age_s", "place", "keys", "wanted", "fit", "open_files_max", "seconds", "said", "role",
}  # fmt: skip
"""Fields that need no explanation of their own; the others are in the first table."""
GIVEN_APART = {"request_id", "role", "restarts"}  # not in every case, or from a dict


class Line(NamedTuple):
    """One call that logs."""

    event: str
    fields: frozenset[str]
    where: str


def logged() -> Iterator[Line]:
    """Yield what the services can say."""
    for package in ("services", "shared", "ops", "sandbox"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield from lines_of(node, f"{path.relative_to(ROOT)}:{node.lineno}")


def lines_of(call: ast.Call, where: str) -> Iterator[Line]:
    if isinstance(call.func, ast.Name) and call.func.id == "until_done":
        yield Line(ast.literal_eval(call.args[0]), frozenset({"problem"}), where)
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVELS:
        return
    logger, fields = call.func.value, {word.arg for word in call.keywords if word.arg}
    bound = isinstance(logger, ast.Attribute) and logger.attr == "_log"
    if bound or (isinstance(logger, ast.Name) and logger.id == "log"):
        for event in events_of(call.args[0]):
            yield Line(event, frozenset(fields | ({"provider"} if bound else set())), where)


def events_of(argument: ast.expr) -> list[str]:
    match argument:
        case ast.Constant(value=str(event)):
            return [event]
        case ast.IfExp(body=one, orelse=other):
            return events_of(one) + events_of(other)
        case _:
            return []  # `until_done` passes on what its callers give it


def documented() -> dict[str, set[str]]:
    """Return the fields of each event, from the tables."""
    rows = [line.split(" | ") for line in TEXT.splitlines() if line.startswith("| `")]
    return {
        event: set(WORD.findall(cells[2]))
        for cells in rows
        if len(cells) == 4
        for event in WORD.findall(cells[0])
    }


def fields_told() -> set[str]:
    """Return the fields of the first table."""
    rows = [line.split(" | ") for line in TEXT.splitlines() if line.startswith("| `")]
    return {field for cells in rows if len(cells) == 3 for field in WORD.findall(cells[0])}


@pytest.mark.parametrize("line", [*logged()], ids=lambda line: f"{line.event} {line.where}")
def test_each_line_is_documented_with_its_fields(line: Line) -> None:
    """No event and no field that a reader of logs has to guess."""
    assert line.event in documented(), line.where
    assert line.fields <= documented()[line.event], line.where
    assert line.fields <= fields_told() | OF_ONE_EVENT, line.where


def test_no_line_is_documented_that_nobody_logs() -> None:
    """Nor a field that its event never has."""
    said: dict[str, set[str]] = {}
    for line in logged():
        said.setdefault(line.event, set()).update(line.fields)
    assert documented().keys() == said.keys()
    for event, fields in documented().items():
        assert fields - GIVEN_APART <= said[event], event


@pytest.mark.parametrize("line", [*logged()], ids=lambda line: f"{line.event} {line.where}")
def test_a_line_about_a_topup_names_it(line: Line) -> None:
    """`topup_…` is about one, so it has its id; where it is on a lane, the lane's provider too."""
    if line.event.startswith(("topup_", "attempt_", "unresolved_")):
        assert {"topup_id", "entry"} & line.fields
        assert "provider" in line.fields or line.event == "topup_not_accepted"
