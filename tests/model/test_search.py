"""The short form of the search: one world in full, and what is quickly missed."""

import gc
from collections.abc import Iterator

import pytest

from tests.model.rules import LANE, NEITHER, RULES, Rule
from tests.model.search import search

LONG = {"doubt_never_sends_afresh", "only_the_carrier_begins"}
QUICK = [rule for rule in RULES if rule.caught in (NEITHER, LANE) and rule.name not in LONG]


@pytest.fixture(autouse=True)
def no_cycles() -> Iterator[None]:
    """A search makes many values and no cycle among them: collecting only costs time."""
    gc.disable()
    yield
    gc.enable()


def test_with_all_rules_on_nothing_is_found() -> None:
    """At a provider that can neither dedupe nor be asked, in every order of every fault."""
    found = search(NEITHER)
    assert found.broken == "", found.story
    assert found.states > 5_000


def test_a_lane_never_lets_two_probes_through_nor_anything_while_it_is_held() -> None:
    """With three topups, people who hold it and every answer that there is, in every order."""
    found = search(LANE)
    assert found.broken == "", found.story
    assert found.states > 1_000


@pytest.mark.parametrize("rule", QUICK, ids=lambda rule: rule.name)
def test_without_the_rule_something_breaks(rule: Rule) -> None:
    """The rule is needed, and a story tells what for."""
    found = search(rule.caught, rule.off)
    assert found.broken
    assert found.story


def test_every_rule_has_one_name() -> None:
    """A switch switches one rule, whose net is a rule too."""
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert {net for rule in RULES for net in rule.also_off} <= set(names)
