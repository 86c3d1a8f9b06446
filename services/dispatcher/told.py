"""What the functions are told of one topup, from what its dispatcher knows."""

from services.dispatcher.attempts import Sale, Sold, new_nonce
from services.dispatcher.rules import Finish
from shared.bus.messages import Handing, Outcome, Work
from shared.contracts import events
from shared.contracts.packing import pack


def work_of(sale: Sale) -> Work:
    """Return an attempt to begin, under a nonce of its own."""
    return Work(
        id=sale.topup_id,
        entry=sale.entry.id,
        key_hash=sale.key_hash,
        nonce=new_nonce(),
        route=sale.route,
    )


def handing_of(sale: Sale, nonce: str, *, why: str, reason: str, said: bytes) -> Handing:
    """Return the end of an attempt after which another lane may have the topup."""
    return Handing(
        id=sale.topup_id,
        key_hash=sale.key_hash,
        nonce=nonce,
        why=why,
        reason=reason,
        said=said,
        route=sale.route,
    )


def outcome_of(sold: Sold, nonce: str, verdict: Finish) -> Outcome:
    """Return how an attempt, or a question, settles the topup."""
    return Outcome(
        id=sold.topup_id,
        key_hash=sold.key_hash,
        nonce=nonce,
        to=verdict.to,
        reason=verdict.reason,
        provider_reference=verdict.evidence.provider_reference or "",
        evidence=pack(events.encode(verdict.evidence)),
    )
