"""What a dispatcher knows of a topup whose record its server has lost."""

from msgspec.structs import replace

from services.dispatcher.attempts import Sale
from services.dispatcher.rules import Finish
from shared.bus.messages import Begun, Restoring
from shared.contracts import events
from shared.contracts.states import Reason, State


def lost(sale: Sale, *, by: str) -> Restoring:
    """Return a topup of which no more is known than that it was accepted."""
    body = sale.entry.fields["body"]
    evidence = events.Evidence(by=by, raw="the streams lost its record")
    return Restoring(
        id=sale.topup_id,
        request=events.decode_request(body),
        body=body,
        accepted_at_ms=sale.accepted_at_ms,
        seq=0,
        to=State.UNRESOLVED,
        reason=Reason.STREAMS_LOST,
        provider_reference="",
        evidence=events.encode(evidence),
        settled_at_ms=0,
        window_ms=0,
    )


def answered(sale: Sale, verdict: Finish, begun: Begun, *, by: str, window_ms: int) -> Restoring:
    """Return our answer; a no speaks for our own send only, so no other may have been."""
    nothing_known = lost(sale, by=by)
    if verdict.to is State.FAILED and (begun.status, begun.attempt) != ("send", 1):
        return nothing_known
    return replace(
        nothing_known,
        to=verdict.to,
        reason=verdict.reason,
        provider_reference=verdict.evidence.provider_reference or "",
        evidence=events.encode(verdict.evidence),
        window_ms=window_ms,
    )
