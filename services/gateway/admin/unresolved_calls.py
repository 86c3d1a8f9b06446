"""What the calls about unresolved topups are, in the words of the API's description."""

from typing import Annotated, Final, Literal

import msgspec

from services.gateway.admin.figures import LimboShown
from services.gateway.admin.lane_calls import ACT_REFUSALS, Why
from services.gateway.calls import Answer, Call, Field
from services.gateway.merchant.replies import Instant, Success
from services.gateway.merchant.topup_calls import KEY_REFUSALS, TOPUP_ID
from shared.contracts.peers import PAGE_MAX
from shared.contracts.proposals import (
    EVIDENCE_CHARACTERS_MAX,
    FILE_BYTES_MAX,
    FILE_NAME_CHARACTERS_MAX,
    ProviderName,
    SettleAs,
    Uuid,
)

_Evidence = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=EVIDENCE_CHARACTERS_MAX,
        description="What it rests on: whoever confirms reads it, and it is kept.",
        examples=["their support found no such transfer, ticket 4711"],
    ),
]
_FileName = Annotated[str, msgspec.Meta(min_length=1, max_length=FILE_NAME_CHARACTERS_MAX)]
_FileBytes = Annotated[
    bytes, msgspec.Meta(min_length=1, max_length=FILE_BYTES_MAX, description="As base64.")
]


class EvidenceFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that shows it, for example their letter."""

    name: _FileName
    content: _FileBytes


class Propose(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to settle it as, and why."""

    to: SettleAs
    evidence: _Evidence
    asked_at: Annotated[
        Instant | None,
        msgspec.Meta(
            description="When the provider was asked; `failed` needs it: a no counts only where "
            "it was asked after the quarantine."
        ),
    ] = None
    provider: Annotated[
        ProviderName | None,
        msgspec.Meta(
            description="Who was paid; needed with `succeeded` where the topup's `provider` is "
            "AUTO, and only there: the streams lost which of its providers had it."
        ),
    ] = None
    file: EvidenceFile | None = None


class Confirm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which proposal was looked at."""

    proposal: Uuid


class Withdraw(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which proposal, and why."""

    proposal: Uuid
    reason: Why


class ShownFile(msgspec.Struct, frozen=True, kw_only=True):
    """What came with a proposal; its content only where one topup is shown."""

    name: str
    sha256: str
    content: Annotated[bytes | None, msgspec.Meta(description="As base64.")]


class ProposalShown(msgspec.Struct, frozen=True, kw_only=True):
    """Who proposed what, on which evidence, and who ended it."""

    id: Uuid
    to: SettleAs
    provider: Annotated[str | None, msgspec.Meta(description="Who was paid, if that was said.")]
    evidence: str
    file: ShownFile | None
    asked_at: Instant | None
    maker: str
    made_at: Instant
    state: Annotated[
        Literal["proposed", "confirmed", "withdrawn", "overtaken"],
        msgspec.Meta(description="overtaken: the topup ended by itself; `checker` is the ledger."),
    ]
    checker: str | None
    ended_at: Instant | None
    ended_why: str | None


class UnresolvedShown(msgspec.Struct, frozen=True, kw_only=True):
    """A topup of which nobody knows whether it was paid."""

    topup_id: str
    status: str
    customer_id: str
    phone: Annotated[str, msgspec.Meta(description="Masked.")]
    amount: str
    currency: str
    provider: str
    reason: str | None
    provider_reference: str | None
    reference: str | None
    since: Instant | None
    age_seconds: int | None
    proposal: Annotated[ProposalShown | None, msgspec.Meta(description="The one that is open.")]


class UnresolvedList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, and the sums of all."""

    success: Success = True
    topups: list[UnresolvedShown]
    next: Annotated[str | None, msgspec.Meta(description="`cursor` of the next page.")]
    limbo: list[LimboShown]


class UnresolvedWhole(msgspec.Struct, frozen=True, kw_only=True):
    """One of them, with all that was proposed, the newest first."""

    success: Success = True
    topup: UnresolvedShown
    proposals: list[ProposalShown]


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """The proposal, as it stands now."""

    success: Success = True
    topup_id: str
    proposal: ProposalShown


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """It is settled."""

    success: Success = True
    topup_id: str
    status: SettleAs
    proposal: str
    maker: str
    checker: str


UNRESOLVED: Final = Call(
    name="unresolved",
    method="GET",
    path="/api/admin/unresolved",
    tag="Admin",
    about="Topups of which nobody knows whether they were paid",
    key="admin",
    query=(
        Field(
            name="limit",
            about="Topups on a page.",
            schema={"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": 50},
        ),
        Field(
            name="order",
            about="What has been there for longest first, or last.",
            schema={"type": "string", "enum": ["oldest", "newest"], "default": "oldest"},
        ),
        Field(
            name="provider",
            about="Of this provider.",
            schema={"type": "string", "pattern": "^[A-Z0-9_]{1,32}$"},
            example="LATCOM",
        ),
        Field(
            name="cursor",
            about="`next` of the page before.",
            schema={"type": "string", "minLength": 1},
        ),
    ),
    answers={200: Answer(about="A page", body=UnresolvedList)},
    refusals=("invalid_request", *KEY_REFUSALS),
)
UNRESOLVED_SHOW: Final = Call(
    name="unresolved_topup",
    method="GET",
    path="/api/admin/unresolved/{topup_id}",
    tag="Admin",
    about="One of them, with what was proposed",
    detail="Also one that has been settled.",
    key="admin",
    places=(TOPUP_ID,),
    answers={200: Answer(about="It", body=UnresolvedWhole)},
    refusals=(*KEY_REFUSALS, "not_found"),
)
PROPOSE: Final = Call(
    name="unresolved_propose",
    method="POST",
    path="/api/admin/unresolved/{topup_id}/propose",
    tag="Admin",
    about="Propose what to settle it as",
    detail="Nothing is settled until another person confirms it. While a proposal is open, a "
    "second one is 409, and tells who proposed what, and when.",
    key="admin",
    places=(TOPUP_ID,),
    body=Propose,
    answers={200: Answer(about="It waits for somebody else", body=Proposed)},
    refusals=(*ACT_REFUSALS, "too_large"),
)
CONFIRM: Final = Call(
    name="unresolved_confirm",
    method="POST",
    path="/api/admin/unresolved/{topup_id}/confirm",
    tag="Admin",
    about="Settle it as proposed",
    detail="By another person than proposed it, unless `RESOLVE_ALONE` is on (403). Too soon after "
    "the send, or by now settled, by people or by a late answer, is 409 and tells why.",
    key="admin",
    places=(TOPUP_ID,),
    body=Confirm,
    answers={200: Answer(about="It is settled", body=Resolved)},
    refusals=ACT_REFUSALS,
)
WITHDRAW: Final = Call(
    name="unresolved_withdraw",
    method="POST",
    path="/api/admin/unresolved/{topup_id}/withdraw",
    tag="Admin",
    about="Take a proposal back",
    key="admin",
    places=(TOPUP_ID,),
    body=Withdraw,
    answers={200: Answer(about="It is withdrawn", body=Proposed)},
    refusals=ACT_REFUSALS,
)
