"""Pages of unresolved topups: what is asked for, and how topups and proposals are shown."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any, Final, Literal

import msgspec
from starlette.requests import Request

from services.gateway.admin.requests import read_query
from services.gateway.admin.unresolved_calls import (
    ProposalShown,
    ShownFile,
    UnresolvedShown,
)
from services.gateway.refusals import Misunderstood
from shared.contracts.ids import mask_phone
from shared.contracts.instants import timestamp
from shared.contracts.money import format_amount
from shared.contracts.peers import PAGE_MAX
from shared.contracts.proposals import (
    Proposal,
    Unresolved,
    UnresolvedPage,
    UnresolvedQuery,
)
from shared.contracts.states import FINAL

_EXAMPLE: Final = "?limit=50&order=oldest&provider=LATCOM"


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 50
    order: Literal["oldest", "newest"] = "oldest"
    provider: Annotated[str, msgspec.Meta(pattern=r"\A[A-Z0-9_]{1,32}\Z")] | None = None
    cursor: str | None = None


def read_unresolved(request: Request) -> UnresolvedQuery:
    """Return which page is asked for; raises Misunderstood."""
    asked = read_query(request, _Asked, example=_EXAMPLE)
    place: dict[str, Any] = {}
    if asked.cursor is not None:
        try:
            at, _, topup_id = urlsafe_b64decode(asked.cursor.encode()).decode().partition(".")
            place = {"after_ms": int(at), "after_id": topup_id}
        except ValueError:
            raise _no_cursor() from None
    try:
        given = {"limit": asked.limit, "order": asked.order, "provider": asked.provider, **place}
        return msgspec.convert(given, UnresolvedQuery)
    except msgspec.ValidationError:
        raise _no_cursor() from None


def next_cursor(page: UnresolvedPage) -> str | None:
    """Return what the next page is asked with; None: there is none."""
    if not page.more:
        return None
    last = page.rows[-1]
    return urlsafe_b64encode(f"{last.since_ms}.{last.topup_id}".encode()).decode()


def topup_shown(row: Unresolved) -> UnresolvedShown:
    """Return it for people: the phone masked, the amount as decimal text."""
    opened = [one for one in row.proposals if one.state == "proposed"]
    return UnresolvedShown(
        topup_id=row.topup_id,
        status=row.status,
        customer_id=row.customer_id,
        phone=mask_phone(row.phone),
        amount=format_amount(row.amount_minor, row.currency),
        currency=row.currency,
        provider=row.provider,
        reason=row.reason,
        provider_reference=row.provider_reference,
        reference=row.reference,
        since=_at(row.since_ms),
        age_seconds=row.age_s,
        proposal=proposal_shown(opened[0]) if opened else None,
    )


def proposal_shown(one: Proposal) -> ProposalShown:
    """Return it for people."""
    file = None
    if one.file_name is not None and one.file_sha256 is not None:
        file = ShownFile(name=one.file_name, sha256=one.file_sha256, content=one.file)
    return msgspec.convert(
        {
            "id": one.id,
            "to": one.settle_as,
            "provider": one.provider,
            "evidence": one.evidence,
            "file": file,
            "asked_at": _at(one.asked_at_ms),
            "maker": one.maker,
            "made_at": timestamp(one.made_at_ms),
            "state": one.state,
            "checker": one.checker,
            "ended_at": _at(one.ended_at_ms),
            "ended_why": one.ended_why,
        },
        ProposalShown,
    )


def told(one: Proposal) -> str:
    """Say who did what with a proposal, and when."""
    paid = "" if one.provider is None else f", {one.provider} was paid,"
    said = f"proposed as {one.settle_as}{paid} by {one.maker} at {timestamp(one.made_at_ms)}"
    if one.ended_at_ms is None:
        return said
    why = "" if one.ended_why is None else f" ({one.ended_why})"
    return f"{said}, {one.state} by {one.checker} at {timestamp(one.ended_at_ms)}{why}"


def newest(row: Unresolved) -> Proposal | None:
    """Return what was proposed last."""
    return row.proposals[0] if row.proposals else None


def stands(row: Unresolved) -> str:
    """Say how it stands; of what has ended without the people who are at it, that too."""
    last = newest(row)
    by_people = row.status not in FINAL or row.settled_on is not None
    if by_people or last is None or last.state != "proposed":
        return row.status
    return f"{row.status} by itself, by a late answer"


def other_one(row: Unresolved) -> str:
    """Say that a proposal is none of this topup, and which is."""
    last = newest(row)
    said = "nothing is proposed" if last is None else told(last)
    return f"That is no proposal of {row.topup_id}: {said}; nothing was changed"


def already(topup_id: str, status: str | None, proposal: Proposal | None) -> str:
    """Say how it stands, and who did what, and when."""
    stands = f"{topup_id} is {status or 'not there'}"
    return f"{stands}{'' if proposal is None else ', ' + told(proposal)}; nothing was changed"


def too_soon(until_ms: int) -> str:
    """Say until when a no says nothing."""
    return (
        f"A no counts only where the provider was asked after {timestamp(until_ms)}: until then "
        "it may still be on its way; ask them again then. Nothing was changed"
    )


def unread(topup_id: str) -> str:
    """Say that the streams do not have it."""
    return (
        f"The streams have no record of {topup_id} that can be read here; see: topup doctor. "
        "Nothing was changed"
    )


def _at(at_ms: int | None) -> str | None:
    return None if at_ms is None else timestamp(at_ms)


def _no_cursor() -> Misunderstood:
    return Misunderstood(
        "cursor is not one that was given here; take `next` of the page before, or leave it out; "
        f"for example {_EXAMPLE}"
    )
