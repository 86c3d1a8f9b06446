"""One lane's state as a server keeps it: section 5, hold / release, and what answers say of it."""

from collections.abc import Collection

import msgspec

HOLDS_MAX = 2
"""A lane that holds itself in a row does so for twice as long each time, up to so often."""
FINE = ("fine", "no")
FAILED = ("silent", "unsent")


class Lane(msgspec.Struct):
    """Times are ticks of one clock; `until` of -1: until people release it."""

    state: str = "open"  # open, held, probing
    until: int = 0
    probe: int = -1  # which topup
    probe_until: int = 0
    failures: int = 0  # without an answer in a row
    holds: int = 0  # by itself in a row; 0: by people


class Breaker(msgspec.Struct, frozen=True):
    """What begin, finish, park, hold and release do to a lane; `off`: rules that are missing."""

    hold: int
    failures: int
    lease: int
    off: Collection[str] = ()

    def keeps(self, rule: str) -> bool:
        """Tell whether the rule holds."""
        return rule not in self.off

    def passable(self, lane: Lane, now: int) -> bool:
        """May anything start now, besides the one probe that is under way?"""
        if lane.state == "open":
            return True
        if lane.state == "held":
            return lane.until != -1 and lane.until <= now
        return lane.probe_until <= now and self.keeps("a_lost_probe_is_followed")

    def lets_pass(self, lane: Lane, topup: int, now: int) -> bool:
        """Let everything through an open lane, and one topup through one whose hold is over."""
        if lane.state == "open" or not self.keeps("held_never_begins"):
            return True
        its_own = lane.state == "probing" and lane.probe == topup
        others = lane.state == "probing" and not self.keeps("one_probe_at_a_time")
        if not (its_own or others or self.passable(lane, now)):
            return False
        lane.state, lane.probe, lane.probe_until, lane.until = "probing", topup, now + self.lease, 0
        return True

    def _is_probe(self, lane: Lane, topup: int) -> bool:
        if lane.state == "held":
            return not self.keeps("a_hold_outlasts_answers")
        others = not self.keeps("only_the_probe_speaks")
        return lane.state == "probing" and (lane.probe == topup or others)

    def tell(self, lane: Lane, topup: int, says: str, now: int) -> None:
        """Learn of the lane from the end of an attempt."""
        probed = self._is_probe(lane, topup)
        if says == "unasked" and self.keeps("unasked_says_nothing"):
            if probed:
                lane.probe_until = now
        elif says in FINE:
            if probed:
                self.open(lane)
            elif lane.state == "open" and self.keeps("an_answer_ends_the_row"):
                lane.failures = 0
        elif probed or lane.state == "open":
            lane.failures += says != "hold"
            if probed or says == "hold" or lane.failures >= self.failures:
                self._trip(lane, now)

    def take(self, lane: Lane, *, until: int) -> None:
        """Hold it, as people do."""
        lane.state, lane.until, lane.holds, lane.failures = "held", until, 0, 0
        lane.probe, lane.probe_until = -1, 0

    def open(self, lane: Lane) -> None:
        """Open it, as people and answers do."""
        lane.state, lane.until, lane.holds, lane.failures = "open", 0, 0, 0
        lane.probe, lane.probe_until = -1, 0

    def _trip(self, lane: Lane, now: int) -> None:
        lane.state, lane.until = "held", now + self.hold * 2 ** min(lane.holds, HOLDS_MAX)
        lane.holds = min(lane.holds + 1, HOLDS_MAX)
        lane.probe, lane.probe_until = -1, 0
