"""What the calls about lanes are, in the words of the API's description."""

from typing import Annotated, Final

import msgspec

from services.gateway.calls import Answer, Call, Field
from services.gateway.merchant.replies import Instant, Served, Success
from services.gateway.merchant.topup_calls import KEY_REFUSALS
from shared.contracts.acts import REASON_CHARACTERS_MAX
from shared.contracts.catalogue import OFFERS

_STATES: Final = ["open", "held", "probing"]
Why = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=REASON_CHARACTERS_MAX,
        description="Why; whoever comes next reads it.",
        examples=["provider announced maintenance until 03:00"],
    ),
]


class LaneShown(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's lane, and what waits behind it."""

    provider: str
    state: Annotated[str, msgspec.Meta(extra_json_schema={"enum": _STATES})]
    served: Served
    reason: str | None
    by: Annotated[
        str | None,
        msgspec.Meta(
            description="Who made it so: an operator; `provider` (it refuses our account), "
            "`breaker` (it does not answer), `probe` (it answers again), `ledger` (streams lost)."
        ),
    ]
    since: Instant | None
    until: Annotated[
        Instant | None,
        msgspec.Meta(description="When one topup tries it; null: not before it is released."),
    ]
    failures: Annotated[int, msgspec.Meta(description="Attempts without an answer in a row.")]
    waiting: int
    active: int
    delayed: int
    oldest_waiting_seconds: int


class LaneList(msgspec.Struct, frozen=True, kw_only=True):
    """All lanes, by the name of their provider."""

    success: Success = True
    lanes: list[LaneShown]


class LaneState(msgspec.Struct, frozen=True, kw_only=True):
    """A lane as it was or is."""

    state: Annotated[str, msgspec.Meta(extra_json_schema={"enum": _STATES})]
    reason: str | None
    by: str | None
    since: Instant | None
    until: Instant | None


class LaneChanged(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, and what it was before; `changed` is false where it was so already."""

    success: Success = True
    provider: str
    changed: bool
    before: LaneState
    after: LaneState


class LaneHold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why to hold it, and until when."""

    reason: Why
    until: Annotated[
        str | None,
        msgspec.Meta(
            description="For how long, or until when; then one topup tries it. Without: until it "
            "is released.",
            examples=["30m", "2026-11-24T03:00:00-06:00"],
        ),
    ] = None
    replace: Annotated[
        bool, msgspec.Meta(description="Also where another operator holds it already.")
    ] = False


class LaneRelease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why to open it."""

    reason: Why | None = None
    held_since: Annotated[
        Instant | None,
        msgspec.Meta(description="Only the hold that began then, as the list told it."),
    ] = None


PROVIDER: Final = Field(
    name="provider",
    about="The lane of this provider.",
    schema={"type": "string", "pattern": "^[^/]+$"},
    example=next(iter(OFFERS)),
    required=True,
)
ACT_REFUSALS: Final = (
    *KEY_REFUSALS, "not_found", "conflict", "invalid_json", "unsupported_media_type",
)  # fmt: skip

LANES: Final = Call(
    name="lanes",
    method="GET",
    path="/api/admin/lanes",
    tag="Admin",
    about="Which lanes are open or held, by whom, why, and until when",
    key="admin",
    answers={200: Answer(about="All lanes", body=LaneList)},
    refusals=KEY_REFUSALS,
)
HOLD: Final = Call(
    name="lane_hold",
    method="POST",
    path="/api/admin/lanes/{provider}/hold",
    tag="Admin",
    about="Let nothing of a lane start",
    detail="What is under way comes to its end; what waits stays on the lane, and expires there. "
    "A lane that another operator holds is 409, and tells who, when and why: `replace` takes it "
    "over all the same.",
    key="admin",
    places=(PROVIDER,),
    body=LaneHold,
    answers={200: Answer(about="It is held", body=LaneChanged)},
    refusals=ACT_REFUSALS,
)
RELEASE: Final = Call(
    name="lane_release",
    method="POST",
    path="/api/admin/lanes/{provider}/release",
    tag="Admin",
    about="Let a lane's topups go on",
    detail="A lane that is open already stays so, with `changed` false, and who opened it.",
    key="admin",
    places=(PROVIDER,),
    body=LaneRelease,
    answers={200: Answer(about="It is open", body=LaneChanged)},
    refusals=ACT_REFUSALS,
)
