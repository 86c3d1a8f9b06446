"""In which class each line and each topup ends, what that adds up to, and what to do; pure."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from services.ledger.statements.pairs import NOBODY, How, Matches
from services.ledger.statements.tables import NO_PHONE, Ours, Theirs
from shared.contracts.states import State

EXPECTED: Final = frozenset({State.SUCCEEDED, State.UNRESOLVED})
"""What a statement must have, or may have."""


class Class(StrEnum):
    """What a line and a topup are to each other; each of both is in exactly one."""

    MATCHED = "matched"
    OURS_MISSING_THERE = "ours missing there"
    THEIRS_MISSING_HERE = "theirs missing here"
    AMOUNT_DIFFERS = "amount differs"
    PAID_TWICE = "paid twice"
    PAID_THOUGH_FAILED = "paid though we said failed"


class Side(msgspec.Struct):
    """How many, and how much in minor units."""

    count: int = 0
    amount_minor: int = 0

    def add(self, amount_minor: int) -> None:
        """Count one more."""
        self.count += 1
        self.amount_minor += amount_minor


class Sums(msgspec.Struct):
    """Of one class or of all, by currency."""

    theirs: dict[str, Side] = {}
    ours: dict[str, Side] = {}


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One line, one topup, or both of a pair; NOBODY where there is none."""

    kind: Class
    line: int
    topup: int
    how: How


class Totals(msgspec.Struct):
    """What the classes add up to, and the same counted without them."""

    classes: dict[Class, Sums]
    theirs: dict[str, Side] = {}  # lines of the day, however classed
    ours: dict[str, Side] = {}  # topups of the day that are expected there, and who is paired
    before: dict[str, Side] = {}  # of them, accepted on another day and paid on this one
    other_day: dict[str, Side] = {}  # accepted on the day, paid on another: not among ours
    not_expected: dict[str, Side] = {}  # failed or open here, and not there: not among ours

    def adds_up(self) -> bool:
        """Tell whether both sides are the sums of their classes, to the minor unit."""
        return all(
            _plain(whole) == _plain(_summed(sums))
            for whole, sums in (
                (self.theirs, [each.theirs for each in self.classes.values()]),
                (self.ours, [each.ours for each in self.classes.values()]),
            )
        )


def findings(theirs: Theirs, ours: Ours, matches: Matches) -> Iterator[Finding]:
    """Yield each line of the day once, with its topup; then each topup that has no line."""
    for line, topup in enumerate(matches.topup):
        if theirs.counts[line]:
            kind = _class_of(theirs, ours, matches, line)
            yield Finding(kind, line, topup, How(matches.how[line]))
    for topup, line in enumerate(matches.line):
        if line == NOBODY and ours.counts[topup] and ours.state(topup) in EXPECTED:
            yield Finding(Class.OURS_MISSING_THERE, NOBODY, topup, How.NOTHING)


def totals(theirs: Theirs, ours: Ours, matches: Matches) -> Totals:
    """Return the sums of all classes, and of both sides."""
    sums = Totals({kind: Sums() for kind in Class})
    for found in findings(theirs, ours, matches):
        of_class = sums.classes[found.kind]
        if found.line != NOBODY:
            _add(of_class.theirs, theirs, found.line)
        if found.topup != NOBODY and found.kind is not Class.PAID_TWICE:
            _add(of_class.ours, ours, found.topup, owed=_is_owed(ours, found.topup))
    for line in range(len(theirs)):
        if theirs.counts[line]:
            _add(sums.theirs, theirs, line)
    for topup in range(len(ours)):
        _add_topup(sums, theirs, ours, matches, topup)
    return sums


def to_resolve(
    theirs: Theirs, ours: Ours, matches: Matches, *, before_ms: int
) -> Iterator[tuple[Finding, State]]:
    """Yield unresolved topups with the end that the statement shows.

    A line that surely is the topup shows that it was paid. That there is none shows the contrary
    only if the statement lacks no topup that surely was paid, no line of that phone may be this
    topup's after all, and it was accepted before `before_ms`: later ones may stand in the next
    statement.
    """
    whole, unsure = True, set[int]()
    for found in findings(theirs, ours, matches):
        if found.line == NOBODY:
            whole = whole and ours.state(found.topup) is not State.SUCCEEDED
        elif found.how < How.ALONE or found.kind is Class.PAID_TWICE:
            unsure.add(theirs.phones[found.line])
    for found in findings(theirs, ours, matches):
        if found.topup == NOBODY or ours.state(found.topup) is not State.UNRESOLVED:
            continue
        if found.kind is Class.MATCHED and found.how >= How.ALONE:
            yield found, State.SUCCEEDED
        elif (
            found.kind is Class.OURS_MISSING_THERE
            and whole
            and ours.at_ms[found.topup] < before_ms
            and unsure.isdisjoint({ours.phones[found.topup], NO_PHONE})
        ):
            yield found, State.FAILED


def _class_of(theirs: Theirs, ours: Ours, matches: Matches, line: int) -> Class:
    topup = matches.topup[line]
    if topup == NOBODY:
        return Class.THEIRS_MISSING_HERE
    if matches.line[topup] != line:
        return Class.PAID_TWICE
    if ours.state(topup) is State.FAILED:
        return Class.PAID_THOUGH_FAILED
    same = theirs.currency[line] == ours.currency[topup]
    same = same and theirs.amounts[line] == ours.amounts[topup]
    return Class.MATCHED if same else Class.AMOUNT_DIFFERS


def _add_topup(sums: Totals, theirs: Theirs, ours: Ours, matches: Matches, topup: int) -> None:
    line = matches.line[topup]
    if line != NOBODY and theirs.counts[line]:
        owed = _is_owed(ours, topup)
        _add(sums.ours, ours, topup, owed=owed)
        if not ours.counts[topup]:
            _add(sums.before, ours, topup, owed=owed)
    elif not ours.counts[topup]:
        return
    elif line != NOBODY:
        _add(sums.other_day, ours, topup)
    elif ours.state(topup) in EXPECTED:
        _add(sums.ours, ours, topup)
    else:
        _add(sums.not_expected, ours, topup)


def _is_owed(ours: Ours, topup: int) -> bool:
    """Tell whether our books owe for it: for what failed they owe nothing."""
    return ours.state(topup) is not State.FAILED


def _add(sums: dict[str, Side], side: Theirs | Ours, place: int, *, owed: bool = True) -> None:
    currency = side.currencies[side.currency[place]]
    sums.setdefault(currency, Side()).add(side.amounts[place] if owed else 0)


def _summed(sums: list[dict[str, Side]]) -> dict[str, Side]:
    whole: dict[str, Side] = {}
    for each in sums:
        for currency, side in each.items():
            total = whole.setdefault(currency, Side())
            total.count += side.count
            total.amount_minor += side.amount_minor
    return whole


def _plain(sums: dict[str, Side]) -> dict[str, tuple[int, int]]:
    return {currency: (side.count, side.amount_minor) for currency, side in sums.items()}
