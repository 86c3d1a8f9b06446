"""Pairs lines that name no topup with topups that no line names: by phone, amount and time."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from services.ledger.statements.pairs import NOBODY, How, Matches, Window, line_key
from services.ledger.statements.parts import parts_of, where
from services.ledger.statements.tables import NO_ID, NO_PHONE, NO_TIME, Ours, Theirs
from shared.contracts.states import State

_IN_TURN: Final = (
    frozenset({State.SUCCEEDED}),
    frozenset({State.UNRESOLVED}),
    frozenset(State) - {State.SUCCEEDED, State.UNRESOLVED},
)
"""What was certainly paid is paired first: a line is that sale, not the attempt that failed."""
EXPECTED: Final = _IN_TURN[0] | _IN_TURN[1]
"""A statement should have these: it must, or it may."""


def match_alike(theirs: Theirs, ours: Ours, window: Window, found: Matches) -> None:
    """Add to the pairs that were found by name."""
    _Alike(theirs, ours, window, found).match()


class _Alike:
    """Pairs lines that name no topup with topups that no line names."""

    def __init__(self, theirs: Theirs, ours: Ours, window: Window, found: Matches) -> None:
        self._theirs, self._ours = theirs, ours
        self._window, self._found = window, found

    def match(self) -> None:
        lines = where(len(self._theirs), self._is_free)
        if not lines:
            return
        phones = where(len(self._ours), lambda topup: self._ours.phones[topup] != NO_PHONE)
        parts = zip(
            parts_of(lines, lambda line: b"%d" % self._theirs.phones[line]),
            parts_of(phones, lambda topup: b"%d" % self._ours.phones[topup]),
            strict=True,
        )
        for some_lines, some_topups in parts:
            for lines_of, topups_of in self._by_phone(some_lines, some_topups):
                self._match_phone(lines_of, topups_of)

    def _is_free(self, line: int) -> bool:
        """Tell whether it may be anybody's: one that names another topup is that one's."""
        return (
            self._found.topup[line] == NOBODY
            and self._theirs.phones[line] != NO_PHONE
            and self._theirs.ids[line] == NO_ID
        )

    def _by_phone(
        self, lines: Sequence[int], topups: Sequence[int]
    ) -> Iterator[tuple[list[int], list[int]]]:
        both: dict[int, tuple[list[int], list[int]]] = {}
        for line in lines:
            both.setdefault(self._theirs.phones[line], ([], []))[0].append(line)
        for topup in topups:
            if (pair := both.get(self._ours.phones[topup])) is not None:
                pair[1].append(topup)
        yield from (pair for pair in both.values() if pair[1])

    def _match_phone(self, lines: list[int], topups: list[int]) -> None:
        """Equal amounts first; then what is left and alone; then what is there once too often."""
        lines.sort(key=lambda line: line_key(self._theirs, line))
        topups.sort(key=lambda topup: (self._ours.at_ms[topup], self._ours.ids[topup]))
        alike = self._by_amount(lines, topups)
        for some_lines, some_topups in alike:
            self._match_amount(some_lines, [each for each in some_topups if self._unpaid(each)])
        self._match_leftovers(self._left(lines), topups)
        for some_lines, some_topups in alike:
            self._match_repeated(self._left(some_lines), some_topups)

    def _by_amount(self, lines: list[int], topups: list[int]) -> list[tuple[list[int], list[int]]]:
        both: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
        for line in lines:
            key = self._theirs.amounts[line], self._theirs.currency[line]
            both.setdefault(key, ([], []))[0].append(line)
        for topup in topups:
            key = self._ours.amounts[topup], self._ours.currency[topup]
            if key in both:
                both[key][1].append(topup)
        return [pair for pair in both.values() if pair[1]]

    def _match_amount(self, lines: list[int], topups: list[int]) -> None:
        sure = self._alone(lines, topups)
        for states in _IN_TURN:
            of_them = [each for each in topups if self._ours.state(each) in states]
            self._pair_latest(self._left(lines), of_them, sure)

    def _pair_latest(self, lines: list[int], topups: list[int], sure: set[int]) -> None:
        """Pair as many as can be: from the last line on, each with the last topup before it.

        All windows are of one length, so no other choice pairs more. Lines without a time sort
        first, and so take what is left.
        """
        free = list(topups)
        for line in reversed(lines):
            at_ms = self._theirs.at_ms[line]
            while free and at_ms != NO_TIME and self._too_late(free[-1], at_ms):
                free.pop()
            if free and self._window.holds(self._ours.at_ms[free[-1]], at_ms):
                how = How.ALONE if at_ms != NO_TIME else How.NO_TIME
                self._found.take(line, free.pop(), how if line in sure else How.ONE_OF_SEVERAL)

    def _too_late(self, topup: int, at_ms: int) -> bool:
        return self._ours.at_ms[topup] > at_ms + self._window.skew_ms

    def _match_leftovers(self, lines: list[int], topups: list[int]) -> None:
        """Pair other amounts only where line and topup have nobody else near."""
        timed = [line for line in lines if self._theirs.at_ms[line] != NO_TIME]
        free = [
            each for each in topups if self._unpaid(each) and self._ours.state(each) in EXPECTED
        ]
        for line in sorted(self._alone(timed, free)):
            first, last = self._span(free, self._theirs.at_ms[line])
            assert last - first == 1, "it is alone"
            self._found.take(line, free[first], How.PHONE)

    def _match_repeated(self, lines: list[int], topups: list[int]) -> None:
        """What is left and like a topup that is paid is that one a second time."""
        paid = [each for each in topups if not self._unpaid(each)]
        for line in lines:
            first, last = self._span(paid, self._theirs.at_ms[line])
            if first < last:
                self._found.take(line, paid[last - 1], How.REPEATED)

    def _alone(self, lines: list[int], topups: list[int]) -> set[int]:
        """Return the lines that have one possible topup, which has no other possible line."""
        times = [self._theirs.at_ms[line] for line in lines]
        untimed = bisect_right(times, NO_TIME)
        alone = set()
        for line, at_ms in zip(lines, times, strict=True):
            first, last = self._span(topups, at_ms)
            if last - first != 1:
                continue
            accepted = self._ours.at_ms[topups[first]]
            others = untimed + bisect_right(times, accepted + self._window.after_ms, untimed)
            others -= bisect_left(times, accepted - self._window.skew_ms, untimed)
            if others == 1:
                alone.add(line)
        return alone

    def _span(self, topups: list[int], at_ms: int) -> tuple[int, int]:
        """Return which of the topups, oldest first, can have been paid at that time."""
        if at_ms == NO_TIME:
            return 0, len(topups)

        def accepted(topup: int) -> int:
            return self._ours.at_ms[topup]

        first = bisect_left(topups, at_ms - self._window.after_ms, key=accepted)
        return first, bisect_right(topups, at_ms + self._window.skew_ms, key=accepted)

    def _left(self, lines: Sequence[int]) -> list[int]:
        return [line for line in lines if self._found.topup[line] == NOBODY]

    def _unpaid(self, topup: int) -> bool:
        return self._found.line[topup] == NOBODY
