"""Lays out one topup: a line for each thing that is known of it, or JSON."""

from collections.abc import Iterator
from typing import Any

import msgspec

from ops.screens.sight import Sight
from ops.screens.words import age, moment, money, plain, stamp
from services.ledger.dossier import Dossier, OutcomeRow
from shared.bus.whereabouts import Whereabouts
from shared.contracts.events import Evidence
from shared.contracts.ids import mask_phone
from shared.contracts.money import format_amount
from shared.contracts.states import FINAL, State

_COUNTED = {"": "none", "many": "several sends may have paid"}
Rows = Iterator[tuple[str, object]]


def as_text(sight: Sight, *, timezone: str) -> str:
    """Return the snapshot; ends with a line feed."""
    when = _When(sight.at_ms, timezone)
    parts = [
        _block(f"topup {sight.topup_id}   {sight.status}", _asked(sight)),
        _block("in Redis", _in_redis(sight, when)),
        _block("in the books", _in_the_books(sight, when)),
    ]
    return "\n\n".join(parts) + "\n"


def as_json(sight: Sight) -> str:
    """Return the same for programs; what its server does not have is null."""
    request = sight.request
    shown = {
        "topup_id": sight.topup_id,
        "at": stamp(sight.at_ms),
        "status": sight.status,
        "customer_id": request.customer_id,
        "phone": mask_phone(request.phone),
        "amount": format_amount(request.amount_minor, request.currency),
        "currency": request.currency,
        "provider": request.provider,
        "product": request.product,
        "reference": request.reference,
        "redis": None if sight.found is None else _record(sight.found),
        "ledger": None if sight.booked is None else _books(sight.booked),
        "unknown": sight.unknown,
    }
    return msgspec.json.format(msgspec.json.encode(shown)).decode() + "\n"


# -- text ------------------------------------------------------------------------------------


class _When:
    """Writes moments with how far they are from now."""

    def __init__(self, now_ms: int, timezone: str) -> None:
        self._now_ms = now_ms
        self._timezone = timezone

    def __call__(self, at_ms: int | None) -> str | None:
        if at_ms is None:
            return None
        off_s = (self._now_ms - at_ms) / 1_000
        apart = f"{age(off_s)} ago" if off_s >= 0 else f"in {age(-off_s)}"
        shown = moment(at_ms, self._timezone)
        return f"{shown:%Y-%m-%d %H:%M:%S}.{at_ms % 1_000:03}, {apart}"


def _block(title: str, rows: Rows) -> str:
    """Return a title and its rows; what is not there has no row."""
    lines = [f"  {name:<16}{plain(value)}" for name, value in rows if value not in (None, "")]
    return "\n".join([title, *lines])


def _asked(sight: Sight) -> Rows:
    request = sight.request
    sold = money(request.amount_minor, request.currency)
    yield "customer", request.customer_id
    yield "phone", mask_phone(request.phone)
    yield "sale", f"{sold}, {request.product} by {request.provider}"
    yield "reference", request.reference


def _in_redis(sight: Sight, when: _When) -> Rows:
    if "redis" in sight.unknown:
        yield "unknown", sight.unknown["redis"]
        return
    if sight.found is None:
        yield "record", "none: it is kept until IDEMPOTENCY_WINDOW after the end"
        return
    record = sight.found.record
    yield "state", record.state
    yield "reason", record.reason
    yield "lane", f"{record.lane}, partition {sight.found.partition}"
    yield "carried by", _carrier(sight.found, when)
    yield "attempts", f"{record.attempt}, now {record.mode}" if record.mode else record.attempt
    yield "owner", record.owner
    yield "lease until", when(record.lease_until_ms)
    yield "in doubt", _COUNTED.get(record.doubt, "one send may have paid")
    yield "quarantine until", when(record.quarantine_until_ms or None)
    yield "accepted", when(record.accepted_at_ms)
    yield "deliver before", when(record.deliver_before_ms)
    yield "first sent", when(record.first_send_at_ms)
    yield "settled", when(record.settled_at_ms)
    yield "outcomes", record.seq
    yield "provider's id", record.provider_reference


def _carrier(found: Whereabouts, when: _When) -> str:
    record = found.record
    if found.due_ms is not None:
        return f"the waiting, due {when(found.due_ms)}"
    if record.entry is None:
        settled = record.state in {*FINAL, State.UNRESOLVED}
        return "nothing: it is settled" if settled else "nothing, which must not be"
    entry = f"lane entry {record.entry}"
    if found.delivery is not None:
        taken = found.delivery
        return f"{entry}, taken by {taken.consumer} {age(taken.idle_ms / 1_000)} ago"
    return f"{entry}, not taken yet" if found.entry_exists else f"{entry}, which is gone"


def _in_the_books(sight: Sight, when: _When) -> Rows:
    if "database" in sight.unknown:
        yield "unknown", sight.unknown["database"]
        return
    if sight.booked is None:
        yield "row", "none: it is not booked yet"
        return
    row = sight.booked.topup
    yield "status", row.status
    yield "accepted", when(row.accepted_at_ms)
    for outcome in sight.booked.outcomes:
        why = f", {outcome.reason}" if outcome.reason else ""
        yield f"outcome {outcome.seq}", f"{outcome.state}{why}"
        yield "  settled", f"{when(outcome.settled_at_ms)}, entry {outcome.entry}"
        yield "  booked", when(outcome.booked_at_ms)
        yield "  provider's id", outcome.provider_reference
        yield "  evidence", _said(outcome.evidence)
    for posting in sight.booked.postings:
        amount = money(posting.amount_minor, posting.currency)
        yield (
            f"posting {posting.seq}.{posting.line}",
            f"{posting.debit} → {posting.credit}  {amount}",
        )
    if sight.booked.set_aside:
        yield "set aside", f"{sight.booked.set_aside} entries that contradict these"


def _said(evidence: Evidence | None) -> str | None:
    """Return who found out what, with the provider's own words as the dispatcher masked them."""
    if evidence is None:
        return None
    by = f"by {evidence.by}, " if evidence.by else ""
    code = f"code {evidence.code}, " if evidence.code else ""
    return f"{by}attempt {evidence.attempt}, {code}{msgspec.json.encode(evidence.raw).decode()}"


# -- JSON ------------------------------------------------------------------------------------


def _record(found: Whereabouts) -> dict[str, Any]:
    shown = _stamped(msgspec.structs.asdict(found.record))
    for name in ("id", "request"):
        del shown[name]
    in_doubt = {"": "none", "many": "many"}.get(found.record.doubt, "one")  # a nonce is for one
    taken = found.delivery
    return {
        **shown,
        "doubt": in_doubt,
        "partition": found.partition,
        "entry_exists": found.entry_exists,
        "delivery": None if taken is None else msgspec.structs.asdict(taken),
        "due": None if found.due_ms is None else stamp(found.due_ms),
    }


def _books(booked: Dossier) -> dict[str, Any]:
    row = _stamped(msgspec.structs.asdict(booked.topup))
    return {
        **{name: row[name] for name in ("status", "reason", "provider_reference")},
        **{name: row[name] for name in ("accepted_at", "settled_at")},
        "outcomes": [_outcome(one) for one in booked.outcomes],
        "postings": [
            {
                **{name: getattr(one, name) for name in ("seq", "line", "debit", "credit")},
                "amount": format_amount(one.amount_minor, one.currency),
                "currency": one.currency,
            }
            for one in booked.postings
        ],
        "set_aside": booked.set_aside,
    }


def _outcome(outcome: OutcomeRow) -> dict[str, Any]:
    evidence = outcome.evidence
    shown = None if evidence is None else msgspec.structs.asdict(evidence)
    return {**_stamped(msgspec.structs.asdict(outcome)), "evidence": shown}


def _stamped(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with moments as text, under the names that the API has for them."""
    return {
        name.removesuffix("_ms"): (stamp(value) if value else None)
        if name.endswith("_ms")
        else value
        for name, value in fields.items()
    }
