"""What the story of a topup is, in the words of the API's description."""

from typing import Annotated, Any, Final

import msgspec

from services.gateway.calls import Answer, Call, Field
from services.gateway.merchant.replies import Success
from services.gateway.merchant.topup_calls import KEY_REFUSALS, TOPUP_ID

FIND_CHARACTERS_MAX: Final = 255


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A topup to choose."""

    topup_id: str
    status: str
    customer_id: str
    phone: Annotated[str, msgspec.Meta(description="Masked.")]
    amount: str
    currency: str
    provider: str
    reference: str | None
    provider_reference: str | None
    accepted_at: str


class Matches(msgspec.Struct, frozen=True, kw_only=True):
    """The newest that fit."""

    success: Success = True
    data: list[Match]
    has_more: bool
    unknown: Annotated[
        dict[str, str], msgspec.Meta(description="What could not be asked, and why.")
    ]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    at: str
    source: Annotated[
        str, msgspec.Meta(description="Who tells it: record, lane, outcomes, books, audit or dead.")
    ]
    event: str
    detail: dict[str, Any]


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """One posting."""

    seq: int
    line: int
    debit: str
    credit: str
    amount: str
    currency: str


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one topup."""

    success: Success = True
    topup_id: str
    at: Annotated[str, msgspec.Meta(description="When it was looked at.")]
    status: str
    reason: str | None
    customer_id: str
    phone: Annotated[str, msgspec.Meta(description="Masked.")]
    amount: str
    currency: str
    provider: str
    product: str
    reference: str | None
    provider_reference: str | None
    record: Annotated[
        dict[str, Any] | None,
        msgspec.Meta(description="As Redis has it, and what carries it on; null once forgotten."),
    ]
    timeline: Annotated[list[Moment], msgspec.Meta(description="In the order of time.")]
    postings: list[Moved]
    set_aside: Annotated[
        int, msgspec.Meta(description="Entries that contradict what is booked; people decide.")
    ]
    unknown: Annotated[
        dict[str, str], msgspec.Meta(description="What could not be asked, and why.")
    ]


FIND: Final = Call(
    name="find_topups",
    method="GET",
    path="/api/admin/topups",
    tag="Admin",
    about="Find topups of any customer",
    detail="By id, by reference (the merchant's or the provider's) or by phone; newest first.",
    key="admin",
    query=(
        Field(
            name="find",
            about="What somebody has in hand.",
            schema={"type": "string", "minLength": 1, "maxLength": FIND_CHARACTERS_MAX},
            example="5566374683",
            required=True,
        ),
    ),
    answers={200: Answer(about="What fits", body=Matches)},
    refusals=("invalid_request", *KEY_REFUSALS),
)
STORY: Final = Call(
    name="topup_story",
    method="GET",
    path="/api/admin/topups/{topup_id}/story",
    tag="Admin",
    about="The story of one topup",
    detail="From its record, the streams, its attempts with the provider's masked answers, the "
    "books, and the audit of it and of its lanes in its time; whichever of them has it.",
    key="admin",
    places=(TOPUP_ID,),
    answers={200: Answer(about="What is known of it", body=Story)},
    refusals=("not_found", *KEY_REFUSALS),
)
EVIDENCE: Final = Call(
    name="topup_evidence",
    method="GET",
    path="/api/admin/topups/{topup_id}/evidence",
    tag="Admin",
    about="The evidence of one topup, as a file",
    detail="A zip that a third party can verify: what is booked, each attempt with the provider's "
    "masked answers, and a manifest signed with Ed25519. It holds the phone in full.",
    key="admin",
    places=(TOPUP_ID,),
    answers={200: Answer(about="A signed zip", body={"type": "string"}, media="application/zip")},
    refusals=("not_found", *KEY_REFUSALS),
)
