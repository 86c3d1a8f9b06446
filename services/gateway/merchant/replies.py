"""A topup as merchants see it, from an order just accepted, a record, or the ledger's row."""

from typing import Annotated, Any, Final

import msgspec

from shared.bus.records import LaneState, Record
from shared.contracts.events import TopupRequested
from shared.contracts.instants import timestamp
from shared.contracts.money import format_amount
from shared.contracts.peers import TopupRow
from shared.contracts.states import FINAL, MERCHANT_STATUS, SETTLED, Reason, State

_encoder: Final = msgspec.json.Encoder()


Served = Annotated[
    bool,
    msgspec.Meta(
        description="A dispatcher that lives has the provider's access. If not, the provider is "
        "not set up, or no dispatcher runs: whatever the state, nothing on the lane can be sold."
    ),
]
Success = Annotated[bool, msgspec.Meta(extra_json_schema={"const": True})]
Money = dict[str, str]
"""Amounts as decimal text, by currency."""
STATUSES: Final = list(MERCHANT_STATUS.values())
Instant = Annotated[
    str,
    msgspec.Meta(examples=["2026-11-23T22:00:00.123Z"], extra_json_schema={"format": "date-time"}),
]
_TopupId = Annotated[
    str,
    msgspec.Meta(
        examples=["0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"], extra_json_schema={"format": "uuid"}
    ),
]
_Status = Annotated[
    str,
    msgspec.Meta(
        description="waiting: for a retry, an inquiry or a held lane. succeeded and failed are "
        "final; unresolved waits for people.",
        extra_json_schema={"enum": STATUSES},
    ),
]
_Reason = Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*Reason]})]
_Phone = Annotated[str, msgspec.Meta(description="E.164", examples=["+525566374683"])]
_Amount = Annotated[
    str,
    msgspec.Meta(examples=["10.00"], extra_json_schema={"pattern": r"^[0-9]{1,9}(\.[0-9]{1,2})?$"}),
]


_Provider = Annotated[
    str,
    msgspec.Meta(description="AUTO until it is settled; then the one that it was settled with."),
]
_Product = Annotated[
    str | None,
    msgspec.Meta(
        description="What was sold; with AUTO null until it is settled.", examples=["XOOM_10_MXN"]
    ),
]


class TopupReply(msgspec.Struct, frozen=True, kw_only=True):
    """A topup as it is now."""

    success: Success = True
    topup_id: _TopupId
    status: _Status
    customer_id: str
    phone: _Phone
    amount: _Amount
    currency: str
    provider: _Provider
    provider_reference: str | None = None
    reason: _Reason | None = None
    accepted_at: Instant
    settled_at: Instant | None = None
    product: _Product
    reference: Annotated[
        str | None, msgspec.Meta(description="The idempotency key it was made with.")
    ] = None
    metadata: dict[str, Any] | None = None
    expected_at: Annotated[
        Instant | None,
        msgspec.Meta(
            description="Of one that waits: when it is tried or asked about next, where that is "
            "known; or ends, if DELIVER_BEFORE is over by then."
        ),
    ] = None

    @property
    def http_status(self) -> int:
        """202 while it may still change by itself, 200 when it is final."""
        return 200 if self.status in _FINAL_WORDS else 202

    @property
    def is_at_rest(self) -> bool:
        """Whether it is final, or waits for people."""
        return self.status in _RESTING_WORDS

    def encode(self) -> bytes:
        """Return the body."""
        return _encoder.encode(self)


class TopupList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of topups, newest first."""

    success: Success = True
    data: list[TopupReply]
    has_more: bool
    next_cursor: Annotated[
        str | None, msgspec.Meta(description="The parameter `cursor` of the next page.")
    ]

    def encode(self) -> bytes:
        """Return the body."""
        return _encoder.encode(self)


_FINAL_WORDS: Final = frozenset(MERCHANT_STATUS[state] for state in FINAL)
_RESTING_WORDS: Final = frozenset(MERCHANT_STATUS[state] for state in SETTLED)


def of_order(topup_id: str, request: TopupRequested, accepted_at_ms: int) -> TopupReply:
    """Show a topup that was accepted just now."""
    provider, product = request.sold_by("", settled=False)
    return TopupReply(
        topup_id=topup_id,
        status=MERCHANT_STATUS[State.QUEUED],
        customer_id=request.customer_id,
        phone=request.phone,
        amount=format_amount(request.amount_minor, request.currency),
        currency=request.currency,
        provider=provider,
        accepted_at=timestamp(accepted_at_ms),
        product=product or None,
        reference=request.reference,
        metadata=request.metadata,
    )


def of_record(record: Record, lane: LaneState, *, now_ms: int) -> TopupReply:
    """Show a topup as Redis has it, and as its lane lets it be."""
    request = record.request
    seen = record.seen(lane, now_ms)
    provider, product = record.sold_by
    return TopupReply(
        topup_id=record.id,
        status=MERCHANT_STATUS[seen.state],
        customer_id=request.customer_id,
        phone=request.phone,
        amount=format_amount(request.amount_minor, request.currency),
        currency=request.currency,
        provider=provider,
        provider_reference=record.provider_reference,
        reason=seen.reason,
        accepted_at=timestamp(record.accepted_at_ms),
        settled_at=None if record.settled_at_ms is None else timestamp(record.settled_at_ms),
        product=product or None,
        reference=request.reference,
        metadata=request.metadata,
        expected_at=None if seen.expected_at_ms is None else timestamp(seen.expected_at_ms),
    )


def of_row(row: TopupRow) -> TopupReply:
    """Show a topup as it is booked."""
    return TopupReply(
        topup_id=row.topup_id,
        status=MERCHANT_STATUS[State(row.status)],
        customer_id=row.customer_id,
        phone=row.phone,
        amount=format_amount(row.amount_minor, row.currency),
        currency=row.currency,
        provider=row.provider,
        provider_reference=row.provider_reference,
        reason=row.reason,
        accepted_at=timestamp(row.accepted_at_ms),
        settled_at=None if row.settled_at_ms is None else timestamp(row.settled_at_ms),
        product=row.product or None,
        reference=row.reference,
        metadata=row.metadata,
        expected_at=None if row.expected_at_ms is None else timestamp(row.expected_at_ms),
    )
