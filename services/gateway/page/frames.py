"""What the live picture is made of: one frame a second, whole by itself."""

from typing import Annotated

import msgspec

from services.gateway.admin.figures import InstanceShown, LimboShown, Volume
from services.gateway.admin.lane_calls import LaneShown
from services.gateway.merchant.replies import Instant

WINDOW_S = 60
RATE_S = 5


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Topups a second, over the last seconds."""

    accepted: float
    succeeded: float
    failed: float
    unresolved: float


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from a topup's acceptance to its end, of those that were looked at."""

    p50_ms: int
    p95_ms: int
    of: Annotated[int, msgspec.Meta(description="How many were looked at.")]


class LaneLive(LaneShown, frozen=True, kw_only=True):
    """One provider's lane, and how it did in the last minute."""

    ended: Annotated[
        int | None, msgspec.Meta(description="Topups that ended in the last minute; null: not yet.")
    ]
    success_share: Annotated[
        float | None, msgspec.Meta(description="0 to 1, of these; null where none ended.")
    ]
    took: Took | None


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """How many topups are where; the last three since the streams began."""

    waiting: int
    active: int
    delayed: int
    completed: int
    failed: int
    unresolved: int


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A topup that came to its end a moment ago."""

    topup_id: str
    at: Instant
    status: str
    provider: str
    customer_id: str
    amount: str
    currency: str
    phone: Annotated[str, msgspec.Meta(description="Masked.")]
    reason: str | None
    took_ms: int | None


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What the streams say."""

    counts: Counted
    rates: Rates | None
    took: Took | None
    lanes: list[LaneLive]
    instances: list[InstanceShown]
    recent: Annotated[list[Ended], msgspec.Meta(description="The newest first.")]


class Sold(msgspec.Struct, frozen=True, kw_only=True):
    """What the books say, at most some seconds old."""

    total_transactions: int
    today: Volume
    unresolved: Volume
    limbo: list[LimboShown]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What matters most, in a sentence and one more; of a held lane its own fields tell more."""

    tone: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["good", "quiet", "warn", "bad"]})]
    sentence: str
    more: str
    lane: str | None = None


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """All that there is to see now; what cannot be asked is null, and `unknown` says why."""

    at: Instant
    gateway: str
    verdict: Verdict
    flow: Flow | None
    sold: Sold | None
    unknown: dict[str, str]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of the last minutes, for the charts."""

    at: Instant
    rates: Rates | None
    took: Took | None
