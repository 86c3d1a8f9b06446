"""Holds the four witnesses against each other: each invariant of docs/protocol.md, as pure code."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import Final

import msgspec

from tests.chaos.sources import Booked, Paid, Sources, Streams, Told

LOSES_ANSWERS: Final = ("903", "904", "905", "906", "908", "910")
TAXED_FROM: Final = 30
TAX: Final = Decimal("1.16")
TAXED_BY: Final = "LATCOM"
SETTLED: Final = ("succeeded", "failed", "unresolved")
BALANCES: Final = {
    "succeeded": {"available": -1, "charged": 1, "cost": -1, "payable": 1},
    "failed": {},
    "unresolved": {"available": -1, "limbo": 1},
}
"""What a topup's postings must come to, in amounts of it: written once more here, on purpose."""


class Violation(msgspec.Struct, frozen=True, order=True):
    """One broken promise: its column in the verdict, whose it is, and what was seen."""

    column: str
    whose: str  # a topup's id, else a merchant's key, else a part of the system
    seen: str


COLUMNS: Final = (
    "lost", "paid twice", "went on in doubt", "told wrong", "never asked for", "changed its end",
    "out of balance", "not at rest",
)  # fmt: skip


def verify(sources: Sources) -> list[Violation]:
    """Return every violation of every invariant; none is the only good answer."""
    return sorted({found for check in CHECKS for found in check(sources)})


def losing_sales(merchant: Iterable[Told]) -> int:
    """Return for how many sales the provider's own tricks lose the answer."""
    return sum(told.sale.phone.endswith(LOSES_ANSWERS) for told in merchant)


def _nothing_is_lost(sources: Sources) -> Iterator[Violation]:
    for key, told in sources.merchant.items():
        if not told.ids and not told.refused and told.asked and not told.sale.keyless:
            yield Violation("lost", key, "the merchant never heard what became of it")
        for topup_id in told.ids:
            if topup_id not in sources.ledger:
                yield Violation("lost", topup_id, f"accepted for {key}, not in the ledger")
            if topup_id not in sources.streams.requested:
                yield Violation("lost", topup_id, f"accepted for {key}, not on the stream")
    for topup_id, booked in sources.ledger.items():
        if topup_id not in sources.streams.outcomes and booked.status in SETTLED:
            yield Violation(
                "lost", topup_id, f"booked as {booked.status}, no outcome on the stream"
            )


def _one_key_is_one_topup(sources: Sources) -> Iterator[Violation]:
    ids_of: dict[str | None, set[str]] = {}
    for topup_id, booked in sources.ledger.items():
        ids_of.setdefault(booked.key, set()).add(topup_id)
    for key, told in sources.merchant.items():
        ids = ids_of.get(key, set()) | set(told.ids)
        if len(ids) > 1:
            yield Violation("paid twice", key, f"is {len(ids)} topups: {', '.join(sorted(ids))}")


def _nothing_is_paid_twice(sources: Sources) -> Iterator[Violation]:
    for topup_id in _ever_asked(sources):
        by = {name: did.paid for name, did in sources.asked(topup_id).items() if did.paid}
        if sum(by.values()) > 1:
            times = " and ".join(f"{paid} times by {name}" for name, paid in by.items())
            yield Violation("paid twice", topup_id, f"paid {times}")


def _only_a_no_goes_on(sources: Sources) -> Iterator[Violation]:
    """Of all that were asked for a topup one may have left it open; the others have said no."""
    for topup_id in _ever_asked(sources):
        asked = sources.asked(topup_id)
        unrefused = [name for name, did in asked.items() if did.asked > did.refused]
        if len(unrefused) > 1:
            names = " nor ".join(unrefused)
            yield Violation("went on in doubt", topup_id, f"each time refused by neither {names}")


def _nothing_comes_from_nowhere(sources: Sources) -> Iterator[Violation]:
    for topup_id, booked in sources.ledger.items():
        told = sources.merchant.get(booked.key or "")
        if told is None or not told.asked:
            yield Violation("never asked for", topup_id, f"booked under {booked.key}")
        elif booked.amount_minor != told.sale.amount * 100:
            yield Violation("told wrong", topup_id, f"booked as {booked.amount_minor} cents")
    for topup_id in _ever_asked(sources):
        if topup_id not in sources.ledger:
            yield Violation("never asked for", topup_id, "the provider was asked, the ledger not")


def _only_who_is_named_is_asked(sources: Sources) -> Iterator[Violation]:
    for told in sources.merchant.values():
        for topup_id in told.ids:
            others = sources.asked(topup_id).keys() - {told.sale.provider}
            if others and told.sale.provider != "AUTO":
                names = ", ".join(others)
                yield Violation("never asked for", topup_id, f"{names} was asked: another's sale")


def _what_is_told_is_true(sources: Sources) -> Iterator[Violation]:
    for told in sources.merchant.values():
        for topup_id in told.ids:
            asked = sources.asked(topup_id)
            booked = sources.ledger.get(topup_id)
            yield from _is_true(topup_id, told, asked, booked)


def _is_true(
    topup_id: str, told: Told, asked: dict[str, Paid], booked: Booked | None
) -> Iterator[Violation]:
    by = [name for name, did in asked.items() if did.paid]
    times = sum(did.paid for did in asked.values())
    if told.at_last == "failed" and times:
        yield Violation("told wrong", topup_id, "told failed, and the provider paid it")
    if told.at_last == "succeeded" and not times:
        yield Violation("told wrong", topup_id, "told succeeded, and the provider never paid it")
    if told.at_last not in SETTLED:
        yield Violation("not at rest", topup_id, f"still {told.at_last}")
    if booked is not None and booked.status != told.at_last:
        yield Violation("told wrong", topup_id, f"told {told.at_last}, booked {booked.status}")
    if times != 1:
        return
    cents = asked[by[0]].amount_cents
    if cents != _wire_cents(told.sale.amount, by[0]):
        yield Violation("told wrong", topup_id, f"paid {cents} cents on the wire")
    if booked is not None and booked.status == "succeeded" and booked.provider != by[0]:
        yield Violation("told wrong", topup_id, f"paid by {by[0]}, booked for {booked.provider}")


def _a_no_has_a_cause(sources: Sources) -> Iterator[Violation]:
    for topup_id, booked in sources.ledger.items():
        streams, asked = sources.streams, sources.asked(topup_id)
        if booked.status != "failed" or any(did.refused for did in asked.values()):
            continue
        lasted_ms = streams.settled_ms.get(topup_id, 0) - streams.accepted_ms.get(topup_id, 0)
        if lasted_ms < sources.deadline_ms:
            yield Violation(
                "told wrong", topup_id, f"failed after {lasted_ms} ms, refused by nobody"
            )


def _an_end_is_an_end(sources: Sources) -> Iterator[Violation]:
    for key, told in sources.merchant.items():
        heard = [*told.states, told.at_last]
        for before, after in pairwise(heard):
            if before in ("succeeded", "failed") and after != before:
                yield Violation("changed its end", key, f"{before}, then {after}")
            if before == "unresolved" and after not in SETTLED:
                yield Violation("changed its end", key, f"{before}, then {after}")
    for topup_id, booked in sources.ledger.items():
        states = [state for _, state, _ in booked.outcomes]
        if len(states) > 1 and states[0] != "unresolved":
            yield Violation("changed its end", topup_id, f"booked as {', then '.join(states)}")
        if states != sources.streams.outcomes.get(topup_id, []):
            yield Violation("changed its end", topup_id, "the streams tell of other outcomes")


def _the_books_balance(sources: Sources) -> Iterator[Violation]:
    for topup_id, booked in sources.ledger.items():
        if booked.status not in BALANCES:
            continue
        due = {name: n * booked.amount_minor for name, n in BALANCES[booked.status].items()}
        if booked.balance != due:
            yield Violation("out of balance", topup_id, f"{booked.status}: {booked.balance}")


def _all_is_conserved(sources: Sources) -> Iterator[Violation]:
    streams, states = sources.streams, Counter(sources.streams.records.values())
    booked = Counter(booked.status for booked in sources.ledger.values())
    for state in ("queued", "active", "waiting", *SETTLED):
        counted, real = streams.counters.get(state, 0), states.get(state, 0)
        if counted != real:
            yield Violation("out of balance", "counters", f"{state}: {counted}, records {real}")
        if state in SETTLED and real != booked.get(state, 0):
            yield Violation(
                "out of balance", "ledger", f"{state}: {booked.get(state, 0)}, records {real}"
            )
    if streams.counters.get("accepted", 0) != len(streams.records):
        yield Violation(
            "out of balance", "counters", f"accepted {streams.counters.get('accepted')}"
        )


def _nothing_is_left_over(sources: Sources) -> Iterator[Violation]:
    streams: Streams = sources.streams
    for name, count in streams.pending.items():
        if count:
            yield Violation("not at rest", name, f"{count} entries are not acknowledged")
    for topup_id in streams.parked:
        yield Violation("not at rest", topup_id, "parked")
    for name, lane in streams.lanes.items():
        if lane["state"] != "open":
            yield Violation("not at rest", name, f"the lane is {lane['state']}")
    for copy in streams.dead:
        yield Violation("told wrong", copy["id"], f"a dead letter: {copy['reason']}")


CHECKS: Final[tuple[Callable[[Sources], Iterator[Violation]], ...]] = (
    _nothing_is_lost,
    _one_key_is_one_topup,
    _nothing_is_paid_twice,
    _only_a_no_goes_on,
    _nothing_comes_from_nowhere,
    _only_who_is_named_is_asked,
    _what_is_told_is_true,
    _a_no_has_a_cause,
    _an_end_is_an_end,
    _the_books_balance,
    _all_is_conserved,
    _nothing_is_left_over,
)


def _ever_asked(sources: Sources) -> list[str]:
    books = sources.providers.values()
    return sorted({name for book in books for name, did in book.items() if did.asked})


def _wire_cents(pesos: int, provider: str) -> int:
    amount = Decimal(pesos)
    if pesos >= TAXED_FROM and provider == TAXED_BY:
        amount = (amount / TAX).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return int(amount * 100)
