"""What a line of a statement and a topup can be to each other, and what that rests on."""

from array import array
from enum import IntEnum
from typing import Final

import msgspec

from services.ledger.statements.tables import NO_TIME, Ours, Theirs

NOBODY: Final = -1


class How(IntEnum):
    """What a pair rests on; the number is the confidence in percent."""

    NOTHING = 0
    PHONE = 40  # phone and time, alone on both sides; another amount
    REPEATED = 50  # like a topup that another line has already paid
    ONE_OF_SEVERAL = 60  # phone, amount and time, as others have too
    NO_TIME = 70  # phone and amount, alone on both sides; the statement gives no time
    ALONE = 90  # phone, amount and time, alone on both sides
    TRANSACTION = 99  # the provider's id
    REFERENCE = 100  # our id


class Window(msgspec.Struct, frozen=True):
    """How long after a topup was accepted it may be paid; clocks may differ by `skew_ms`."""

    after_ms: int = 1_800_000
    skew_ms: int = 120_000

    def holds(self, accepted_at_ms: int, paid_at_ms: int) -> bool:
        """Tell whether both can be one; a line without a time can be any."""
        if paid_at_ms == NO_TIME:
            return True
        return -self.skew_ms <= paid_at_ms - accepted_at_ms <= self.after_ms


class Matches:
    """For each line its topup, what that rests on, and whether it is the one that pays it."""

    def __init__(self, theirs: Theirs, ours: Ours) -> None:
        self.topup = array("i", [NOBODY]) * len(theirs)
        self.how = bytearray(len(theirs))
        self.line = array("i", [NOBODY]) * len(ours)  # for each topup, the line that pays it

    def take(self, line: int, topup: int, how: How) -> None:
        """Say that this line is this topup; the first to say so pays it."""
        self.topup[line], self.how[line] = topup, how
        if self.line[topup] == NOBODY:
            self.line[topup] = line


def line_key(theirs: Theirs, line: int) -> tuple[object, ...]:
    """Return what orders lines by content alone."""
    return (
        theirs.at_ms[line],
        theirs.transactions.raw(line),
        theirs.references.raw(line),
        theirs.currencies[theirs.currency[line]],
        theirs.amounts[line],
        theirs.phones[line],
        theirs.rows[line],
    )
