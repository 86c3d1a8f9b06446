"""One stream entry as an event of one topup: a line to read, or JSON."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ops.screens.words import moment, plain, stamp
from services.ledger.entries import Outcome, Request, Unreadable, read_outcome, read_request
from shared.bus.reader import Entry
from shared.contracts.ids import mask_phone
from shared.contracts.money import format_amount
from shared.contracts.states import State

STATUSES: Final = (State.QUEUED, State.SUCCEEDED, State.FAILED, State.UNRESOLVED)
"""What a topup can be after an event that the streams tell of."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened to one topup; of an unreadable entry only the detail is known."""

    at: str
    event: str  # accepted, woken, settled, resolved, unreadable
    topup_id: str | None = None
    status: str | None = None
    customer_id: str | None = None
    phone: str | None = None  # masked
    amount: str | None = None
    currency: str | None = None
    provider: str | None = None
    product: str | None = None
    reason: str | None = None
    provider_reference: str | None = None
    took_ms: int | None = None  # since it was accepted
    detail: str | None = None
    entry: str


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are shown: those that fit each filter; an empty one fits all."""

    customers: Sequence[str] = ()
    providers: Sequence[str] = ()
    statuses: Sequence[str] = ()

    def fits(self, event: Event) -> bool:
        """Tell whether the event is to be shown."""
        return all(
            value in wanted
            for value, wanted in (
                (event.customer_id, self.customers),
                (event.provider, self.providers),
                (event.status, self.statuses),
            )
            if wanted
        )


def event_of(entry: Entry) -> Event:
    """Return what the entry tells; one that nobody can read is an event too."""
    at_ms = int(entry.id.partition("-")[0])
    try:
        if entry.stream.endswith(":outcomes"):
            return _settled(read_outcome(entry.id, entry.fields), entry.id)
        return _queued(read_request(entry.id, entry.fields), entry, at_ms)
    except Unreadable as problem:
        return Event(at=stamp(at_ms), event="unreadable", detail=str(problem), entry=entry.id)


def as_line(event: Event, *, timezone: str) -> str:
    """Return the event in one line, its time as a clock on the wall there shows it."""
    at_ms = int(event.entry.partition("-")[0])
    clock = f"{moment(at_ms, timezone):%H:%M:%S}.{at_ms % 1_000:03}"
    if event.event == "unreadable":
        return plain(f"{clock}  unreadable   {event.entry}  {event.detail}")
    what = event.event if event.event != "settled" else event.status
    if event.event == "resolved":
        what = f"resolved: {event.status}"
    parts = [
        f"{clock}  {what:<11}  {event.topup_id}",
        f"{event.customer_id}  {event.provider}  {event.amount} {event.currency}  {event.phone}",
    ]
    parts += [event.reason] if event.reason else []
    parts += [f"after {event.took_ms / 1_000:.1f} s"] if event.took_ms is not None else []
    return plain("  ".join(parts))


def _queued(request: Request, entry: Entry, at_ms: int) -> Event:
    """Tell a first acceptance from a topup that was put aside and is back on its lane."""
    again = "again" in entry.fields
    return Event(
        at=stamp(at_ms),
        event="woken" if again else "accepted",
        status=State.QUEUED.value,
        entry=entry.id,
        **_asked(request),
    )


def _settled(outcome: Outcome, entry: str) -> Event:
    evidence = outcome.evidence
    return Event(
        at=stamp(outcome.settled_at_ms),
        event="settled" if outcome.seq == 1 else "resolved",
        status=outcome.state.value,
        reason=outcome.reason,
        provider_reference=evidence.provider_reference if evidence else None,
        took_ms=max(outcome.settled_at_ms - outcome.request.accepted_at_ms, 0),
        entry=entry,
        **_asked(outcome.request),
    )


def _asked(request: Request) -> dict[str, Any]:
    body = request.body
    return {
        "topup_id": request.topup_id,
        "customer_id": body.customer_id,
        "phone": mask_phone(body.phone),
        "amount": format_amount(body.amount_minor, body.currency),
        "currency": body.currency,
        "provider": body.provider,
        "product": body.product,
    }
