"""Which line of a statement is which topup: pure rules, whatever the order of the lines.

First by our id, then by the provider's; what names neither is paired one to one by phone, amount
and time (`alike.py`). Every choice is by content, never by place.
"""

from collections.abc import Callable, Sequence

from services.ledger.statements.alike import match_alike
from services.ledger.statements.pairs import NOBODY, How, Matches, Window, line_key
from services.ledger.statements.parts import parts_of, where
from services.ledger.statements.tables import NO_ID, Ours, Theirs


def match(theirs: Theirs, ours: Ours, window: Window) -> Matches:
    """Return the pairs: at most one topup a line, at most one paying line a topup."""
    found = Matches(theirs, ours)
    by_id = where(len(theirs), lambda line: theirs.ids[line] != NO_ID)
    _match_keys(by_id, theirs.ids.__getitem__, ours.ids.__getitem__, found, How.REFERENCE)
    rest = where(
        len(theirs),
        lambda line: found.topup[line] == NOBODY and bool(theirs.transactions.raw(line)),
    )
    _match_keys(rest, theirs.transactions.raw, ours.transactions.raw, found, How.TRANSACTION)
    _choose_payers(theirs, ours, found)
    match_alike(theirs, ours, window, found)
    return found


def strangers(theirs: Theirs, ours: Ours) -> list[bytes]:
    """Return the ids on lines that none of these topups has: they may be of any other day."""
    named = where(len(theirs), lambda line: theirs.ids[line] != NO_ID)
    lines, topups = (
        parts_of(named, theirs.ids.__getitem__),
        parts_of(range(len(ours)), ours.ids.__getitem__),
    )
    found: list[bytes] = []
    for some_lines, some_topups in zip(lines, topups, strict=True):
        known = {ours.ids[topup] for topup in some_topups}
        found += {theirs.ids[line] for line in some_lines} - known
    return sorted(found)


def _match_keys(
    lines: Sequence[int],
    line_key: Callable[[int], bytes],
    topup_key: Callable[[int], bytes],
    found: Matches,
    how: How,
) -> None:
    """Pair by equal keys; a key that several topups have says nothing."""
    if not lines:
        return
    parts = zip(parts_of(lines, line_key), parts_of(range(len(found.line)), topup_key), strict=True)
    for some_lines, some_topups in parts:
        topups: dict[bytes, int] = {}
        for topup in some_topups:
            key = topup_key(topup)
            topups[key] = NOBODY if key in topups else topup
        for line in some_lines:
            topup = topups.get(line_key(line), NOBODY)
            if topup != NOBODY:
                found.topup[line], found.how[line] = topup, how


def _choose_payers(theirs: Theirs, ours: Ours, found: Matches) -> None:
    """Of several lines that name one topup, the one that fits it best pays it."""

    def rank(line: int, topup: int) -> tuple[object, ...]:
        return (
            theirs.currency[line] != ours.currency[topup],
            theirs.amounts[line] != ours.amounts[topup],
            theirs.phones[line] != ours.phones[topup],
            -found.how[line],
            *line_key(theirs, line),
        )

    for line, topup in enumerate(found.topup):
        if topup == NOBODY:
            continue
        other = found.line[topup]
        if other == NOBODY or rank(line, topup) < rank(other, topup):
            found.line[topup] = line
