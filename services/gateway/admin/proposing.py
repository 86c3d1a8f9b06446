"""What somebody proposes of an unresolved topup: is it whole, and does it fit what is known?"""

from hashlib import sha256
from typing import Final

from uuid_utils import uuid7

from services.gateway.admin.acts import understood
from services.gateway.admin.unresolved_calls import Propose
from services.gateway.admin.unresolved_pages import already, newest, other_one, stands
from services.gateway.refusals import Conflict, Misunderstood
from shared.bus.records import Record
from shared.contracts.events import AUTO
from shared.contracts.proposals import Proposal, Unresolved
from shared.runtime.moments import instant_ms

PROPOSE_EXAMPLE: Final = (
    '{"to": "failed", "evidence": "ticket 4711", "asked_at": "2026-11-24T03:00:00Z"}'
)


def proposal_of(asked: Propose, row: Unresolved, who: str) -> Proposal:
    """Return what somebody proposes; raises Misunderstood."""
    file, at = asked.file, asked.asked_at
    for name, text in (("evidence", asked.evidence), ("file name", file.name if file else "-")):
        if not (text.strip() and text.isprintable()):
            raise Misunderstood(f"{name} must be printable text; for example {PROPOSE_EXAMPLE}")
    if asked.to == "failed" and at is None:
        raise Misunderstood(
            f"asked_at is missing: when was the provider asked? as in {PROPOSE_EXAMPLE}"
        )
    if asked.to == "failed" and asked.provider is not None:
        raise Misunderstood("provider says who was paid: with failed leave it out")
    return Proposal(
        id=str(uuid7()),
        topup_id=row.topup_id,
        settle_as=asked.to,
        evidence=asked.evidence,
        file_name=file.name if file else None,
        file_sha256=sha256(file.content).hexdigest() if file else None,
        file=file.content if file else None,
        provider=asked.provider,
        asked_at_ms=None if at is None else understood(lambda: instant_ms("asked_at", at)),
        maker=who,
    )


def check_provider(new: Proposal, record: Record) -> None:
    """Raise Misunderstood where nobody is named though nobody knows who was paid, or another."""
    if new.settle_as == "failed":
        return
    route = list(record.request.route or ())
    if record.lane != AUTO:
        if new.provider not in (None, record.lane):
            raise Misunderstood(
                f"provider is {new.provider}, but it was sent to {record.lane}; leave it out"
            )
    elif new.provider is None:
        raise Misunderstood(
            "provider is missing: the streams lost who had this topup, so say who was paid, one "
            f"of {', '.join(route)}; for example "
            f'{{"to": "succeeded", "provider": "{route[0]}", "evidence": "ticket 4711"}}'
        )
    elif new.provider not in route:
        raise Misunderstood(
            f"provider is {new.provider}, but it can only have been one of {', '.join(route)}"
        )


def paid_by(proposal: Proposal, record: Record) -> str:
    """Return the lane that its end is told of.

    Raises:
        Conflict: the proposal names nobody, or another one than is known by now.
    """
    if proposal.settle_as == "failed":
        return record.lane
    try:
        check_provider(proposal, record)
    except Misunderstood as problem:
        raise Conflict(
            f"{problem}. Withdraw the proposal, and propose it again; nothing was changed"
        ) from None
    return proposal.provider or record.lane


def open_one(row: Unresolved, wanted: str) -> Proposal:
    """Return the proposal, if it can be confirmed."""
    check_open(row)
    for one in row.proposals:
        if one.id == wanted and one.state == "proposed":
            return one
        if one.id == wanted:
            raise Conflict(already(row.topup_id, stands(row), one))
    raise Conflict(other_one(row))


def check_open(row: Unresolved) -> None:
    """Raise Conflict where there is nothing to settle any more."""
    if row.status != "unresolved":
        raise Conflict(already(row.topup_id, stands(row), newest(row)))
