"""From what each witness knows of one topup to moments in the order of time; pure."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from services.gateway.admin.story_calls import Moment
from shared.bus.records import Record
from shared.bus.whereabouts import Copy, Whereabouts
from shared.contracts.events import Evidence
from shared.contracts.instants import timestamp
from shared.contracts.stories import BookedOutcome, Dossier
from shared.contracts.tries import Tried

Told = tuple[int, int, str, str, dict[str, Any]]
"""When (ms), what comes first at the same moment, who says it, what, and its details."""


def timeline(
    found: Whereabouts | None, booked: Dossier | None, dead: Iterable[Copy]
) -> list[Moment]:
    """Return each thing once: what is booked is told by the books, the rest by the record."""
    told = [*_recorded(found, booked), *_booked(booked)]
    told += _acts(booked)
    told += [
        (copy.at_ms, 9, "dead", "set_before_people", {"reason": copy.reason, "entry": copy.entry})
        for copy in dead
    ]
    return [
        Moment(at=timestamp(at_ms), source=source, event=event, detail=_given(detail))
        for at_ms, _, source, event, detail in sorted(told, key=lambda one: one[:2])
    ]


def _recorded(found: Whereabouts | None, booked: Dossier | None) -> Iterator[Told]:
    if found is None:
        return
    record = found.record
    if booked is None:
        yield record.accepted_at_ms, 0, "record", "accepted", {"lane": record.lane}
    if record.first_send_at_ms is not None:
        yield record.first_send_at_ms, 1, "record", "first_sent", {}
    yield from _tries(record.tried, "record")
    yield from _carried(found)
    is_told = booked is not None and any(one.seq >= record.seq for one in booked.outcomes)
    if record.settled_at_ms is not None and not is_told:
        detail = {"reason": record.reason, "provider_reference": record.provider_reference}
        yield record.settled_at_ms, 5, "record", record.state.value, detail


def _carried(found: Whereabouts) -> Iterator[Told]:
    """Tell of the lane entry that carries it now, where that is not the first one."""
    record = found.record
    if record.entry is None:
        return
    entry_ms = int(record.entry.partition("-")[0])
    if entry_ms > record.accepted_at_ms:
        yield entry_ms, 3, "lane", "woken", {"entry": record.entry}
    if found.delivery is not None:
        taken = found.delivery
        detail = {"by": taken.consumer, "times": taken.times}
        yield found.now_ms - taken.idle_ms, 4, "lane", "taken", detail


def _booked(booked: Dossier | None) -> Iterator[Told]:
    if booked is None:
        return
    row = booked.topup
    yield row.accepted_at_ms, 0, "books", "accepted", {"postings": _moves(booked, 0)}
    for outcome in booked.outcomes:
        yield from _tries(outcome.tried, "outcomes")
        yield from _settled(outcome, booked)


def _settled(outcome: BookedOutcome, booked: Dossier) -> Iterator[Told]:
    detail = {
        "reason": outcome.reason,
        "provider_reference": outcome.provider_reference,
        "entry": outcome.entry,
        **_evidence(outcome.evidence),
    }
    named = outcome.state if outcome.seq == 1 else f"resolved_{outcome.state}"
    yield outcome.settled_at_ms, 5, "outcomes", named, detail
    moves = {"seq": outcome.seq, "postings": _moves(booked, outcome.seq)}
    yield outcome.booked_at_ms, 6, "books", "booked", moves


def _acts(booked: Dossier | None) -> Iterator[Told]:
    """Tell what people did, and what the lanes did by themselves."""
    for act in booked.acts if booked is not None else ():
        detail = {
            "who": act.who,
            "why": act.why,
            "from": _state(act.before),
            "to": _state(act.after),
        }
        yield act.at_ms, 4, "audit", act.act, {"of": act.target, **detail}


def _state(side: object) -> object:
    """Return the state that an act began or ended with; of an act without one, all that it says."""
    return side.get("state", side) if isinstance(side, dict) else side


def _tries(tried: Iterable[Tried], source: str) -> Iterator[Told]:
    for one in tried:
        yield one.at_ms, 2, source, "attempt", msgspec.structs.asdict(one.tried)


def _evidence(evidence: Evidence | None) -> dict[str, Any]:
    if evidence is None:
        return {}
    shown = msgspec.structs.asdict(evidence)
    del shown["provider_reference"]
    return shown


def _moves(booked: Dossier, seq: int) -> list[str]:
    return [f"{one.debit} → {one.credit}" for one in booked.postings if one.seq == seq]


def _given(detail: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in detail.items() if value not in (None, "", [])}


def record_of(found: Whereabouts) -> dict[str, Any]:
    """Show the record as it is, and the one thing that carries it on."""
    record, taken = found.record, found.delivery
    shown = _stamped(msgspec.structs.asdict(record))
    for name in ("id", "request", "tried", "provider_reference"):
        del shown[name]
    return {
        **shown,
        "doubt": {"": "none", "many": "many"}.get(record.doubt, "one"),  # a nonce is for one
        "carried_by": _carrier(record, found),
        "partition": found.partition,
        "delivery": None if taken is None else msgspec.structs.asdict(taken),
        "due": None if found.due_ms is None else timestamp(found.due_ms),
    }


def _carrier(record: Record, found: Whereabouts) -> str:
    if found.due_ms is not None:
        return "waiting"
    if record.entry is None:
        return "nothing"
    return "lane entry" if found.entry_exists else "a lane entry that is gone"


def _stamped(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with moments as text, under the names that the API has for them."""
    return {
        name.removesuffix("_ms"): (timestamp(value) if value else None)
        if name.endswith("_ms")
        else value
        for name, value in fields.items()
    }
