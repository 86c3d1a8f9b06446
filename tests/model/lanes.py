"""A lane with several topups on it: begins, answers, deaths, people and time, in every order."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from tests.model.breaker import FAILED, FINE, Breaker, Lane
from tests.model.events import FAULT, HELP

ANSWERS: Final = (*FINE, *FAILED, "hold", "unasked")
ENDS: Final = ("fine", "silent")
"""What settles a topup; after all else it is tried again."""
Frozen = tuple[Any, ...]


class Terms(msgspec.Struct, frozen=True):
    """How many topups there are, and the lengths, in ticks."""

    topups: int = 3
    lease: int = 2
    hold: int = 1
    failures: int = 2


class Topup(msgspec.Struct):
    """One of them; `tried`: its attempt was let through by the hold of now, as a probe."""

    state: str = "queued"  # queued, active, ended
    lease_until: int = 0
    tried: bool = False


class Street:
    """A lane, its topups and its clock."""

    def __init__(self, terms: Terms, off: frozenset[str]) -> None:
        self.terms = terms
        self.breaker = Breaker(terms.hold, terms.failures, terms.lease, off)
        self.lane = Lane()
        self.topups = [Topup() for _ in range(terms.topups)]
        self.now = 0
        self.people = False
        """People hold it."""
        self.row = 0
        """So many attempts in a row had no answer, in truth."""
        self.wrong = ""

    # -- frozen ----------------------------------------------------------------------------------

    def freeze(self) -> Frozen:
        """Return this street as a value, its clock at 0; topups have no names."""
        lane = self.lane
        places = sorted(
            range(len(self.topups)),
            key=lambda place: (
                place == lane.probe,
                msgspec.structs.astuple(self.topups[place]),
            ),
        )
        topups = tuple(
            (one.state, max(one.lease_until - self.now, 0), one.tried)
            for one in (self.topups[place] for place in places)
        )
        until = lane.until if lane.until == -1 else max(lane.until - self.now, 0)
        probe = places.index(lane.probe) if lane.probe >= 0 else -1
        probe_until = max(lane.probe_until - self.now, 0)
        enough = self.terms.failures
        failures, row = min(lane.failures, enough), min(self.row, enough)
        packed = (lane.state, until, probe, probe_until, failures, lane.holds)
        return packed, topups, self.people, row

    @classmethod
    def thaw(cls, terms: Terms, off: frozenset[str], frozen: Frozen) -> "Street":
        """Return the street of this value."""
        street = cls(terms, off)
        lane, topups, street.people, street.row = frozen
        street.lane = Lane(*lane)
        street.topups = [Topup(*one) for one in topups]
        return street

    # -- what happens ----------------------------------------------------------------------------

    def begin(self, place: int) -> bool:
        """Let a topup begin; tell whether it may."""
        lane, topup = self.lane, self.topups[place]
        before = msgspec.structs.replace(lane)
        may = self.breaker.lets_pass(lane, place, self.now)
        if may:
            if before.state == "held" and (before.until == -1 or before.until > self.now):
                self.wrong = "a held lane sends"
            self.people = False  # what they held until now is tried
            topup.state, topup.lease_until = "active", self.now + self.terms.lease
            topup.tried = before.state != "open"
        return may

    def answer(self, place: int, says: str) -> None:
        """End an attempt."""
        before = msgspec.structs.replace(self.lane)
        self.breaker.tell(self.lane, place, says, self.now)
        lane, was_open = self.lane, before.state == "open"
        if was_open:
            self.row = 0 if says in FINE else self.row + (says in FAILED)
        if self.people and lane != before:
            self.wrong = "people's hold was changed by an answer"
        elif was_open and lane.state == "held" and says != "hold":
            if self.row < self.terms.failures:
                self.wrong = "held, though it answers"
        elif before.state == "probing" and before.probe != place and lane != before:
            self.wrong = "another's answer was taken for the probe's"
        self.topups[place] = Topup(state="ended" if says in ENDS else "queued")
        self._opened()

    def take(self, *, until: int) -> None:
        """Let people hold it."""
        self.breaker.take(self.lane, until=until)
        self.people, self.row = True, 0
        self._forget_probes()

    def release(self) -> None:
        """Let people open it."""
        self.breaker.open(self.lane)
        self.people = False
        self._opened()

    def _opened(self) -> None:
        if self.lane.state == "open" and not self.lane.failures:
            self.row = 0
        if self.lane.state == "open":
            self._forget_probes()

    def _forget_probes(self) -> None:
        """What is under way was let through by an earlier hold."""
        for topup in self.topups:
            topup.tried = False

    # -- what must always hold -------------------------------------------------------------------

    def broken(self) -> str:
        """Return the promise that does not hold, or ''."""
        tries = sum(one.tried and one.lease_until > self.now for one in self.topups)
        return self.wrong or ("two probes at once" if tries > 1 else "")

    @property
    def ended(self) -> bool:
        """All topups have come to an end."""
        return all(one.state == "ended" for one in self.topups)


def steps(frozen: Frozen, thaw: Callable[[Frozen], Street]) -> Iterator[tuple[str, int, Street]]:
    """Yield everything that may happen on this street."""
    here = thaw(frozen)
    for place, topup in enumerate(here.topups):
        yield from _of_one(here, place, topup, lambda: thaw(frozen))
    street = thaw(frozen)
    street.now += 1
    yield "time passes", HELP, street
    if here.people:
        street = thaw(frozen)
        street.release()
        yield "people release it", HELP, street
    for until in (-1, here.terms.hold):
        street = thaw(frozen)
        street.take(until=until)
        yield (
            f"people hold it {'for a while' if until > 0 else 'until they release it'}",
            FAULT,
            street,
        )


def _of_one(
    here: Street, place: int, topup: Topup, now: Callable[[], Street]
) -> Iterator[tuple[str, int, Street]]:
    lost = topup.state == "active" and topup.lease_until <= here.now
    if topup.state == "queued" or lost:
        street = now()
        may = street.begin(place)
        yield f"{place} begins{' again, its owner lost' if lost else ''}: {may}", HELP, street
    if topup.state != "ended":
        street = now()
        street.topups[place] = Topup(state="ended")
        yield f"{place} ends by a late yes, of which the lane hears nothing", FAULT, street
    if topup.state == "active" and not lost:
        for says in ANSWERS:
            street = now()
            street.answer(place, says)
            yield f"the answer of {place}: {says}", HELP if says in FINE else FAULT, street
