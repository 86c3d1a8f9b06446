"""The runbook can be followed: each symptom has its steps, each command is one that there is."""

import re
import shlex

import pytest

from ops import cli
from tests.runbook import PATH, Section, anchor_of, sections

SECTIONS = sections()
SYMPTOMS = {
    "oldest-topup-too-old", "a-lane-is-held", "money-is-unresolved", "dead-letters",
    "the-books-are-behind", "the-ledger-is-down", "valkey-refuses-writes", "valkey-is-lost",
    "postgresql-is-down-or-full", "postgresql-is-lost", "the-limiter-is-degraded",
    "a-replica-flaps", "conservation-is-broken", "the-clocks-differ", "nothing-is-scraped",
    "a-key-leaked",
    "an-operators-key-leaked", "the-audit-is-broken", "a-payment-is-disputed",
    "the-providers-statement-differs", "a-provider-fails", "a-provider-is-slow",
    "durability-is-at-risk", "valkey-runs-full",
}  # fmt: skip
"""What alerts link to: an anchor that is renamed here leads nowhere there."""


def test_every_symptom_has_its_section() -> None:
    """Under the anchor that alerts link to."""
    assert set(SECTIONS) == SYMPTOMS


@pytest.mark.parametrize("section", SECTIONS.values(), ids=lambda one: one.title)
def test_a_section_says_what_is_seen_where_to_look_and_what_to_do(section: Section) -> None:
    """In this order, with at least one command to look."""
    places = [section.text.find(f"**{word}**") for word in ("See", "Look", "Do")]
    assert -1 not in places
    assert places == sorted(places)
    assert section.look


@pytest.mark.parametrize(
    "command",
    sorted({line for one in SECTIONS.values() for line in (*one.look, *one.do)}),
)
def test_every_command_is_one_that_there_is(command: str) -> None:
    """With these options, by the parser that would read them."""
    words = shlex.split(re.sub(r"\$[A-Z_]+", "ACME_001", command.replace("$NAME", "ana")))
    assert words[0] == "topup"
    called, _, _ = cli.app.parse_args(words[1:], exit_on_error=False, print_error=False)
    assert called.__name__.rstrip("_") in (words[2] if words[2:] else "", words[1], "make")


def test_links_lead_somewhere() -> None:
    """To a heading that is there."""
    for file, anchor in re.findall(r"\]\(([a-z-]*\.?m?d?)#([a-z-]+)\)", PATH.read_text()):
        target = PATH.with_name(file) if file else PATH
        headings = re.findall(r"^## (.*)$", target.read_text(), re.MULTILINE)
        assert anchor in map(anchor_of, headings), anchor
