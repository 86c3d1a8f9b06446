"""What the gateway asks the ratelimiter and the ledger over HTTP, and what they answer."""

from typing import Annotated, Any, Final

import msgspec

from shared.contracts.keys import READ, WRITE
from shared.contracts.states import State

LIMIT_PATH: Final = "/check"
KEYS_PATH: Final = "/keys"
KEY_USES_PATH: Final = "/keys/uses"
TOPUP_PATH: Final = "/topups/{topup_id}"
TOPUPS_PATH: Final = "/topups"
FILE_PATH: Final = "/topups.csv"
TOTALS_PATH: Final = "/totals"
AUDIT_PATH: Final = "/audit"
PAGE_MAX: Final = 1_000
KEY_USES_MAX: Final = 1_000
"""In one message; a gateway that has more sends several."""
AGES: Final = ("1h", "1d", "7d", "older")
"""How long money has been in limbo: up to an hour, a day, a week; longer."""
_INSTANT_MS_MAX: Final = 253_402_300_799_999  # the year 9999
_DAY_MS: Final = 86_400_000
_Moment = Annotated[
    int, msgspec.Meta(ge=-_INSTANT_MS_MAX // 4, le=_INSTANT_MS_MAX + _DAY_MS)
]  # the years 1 to 9999, wherever on earth
SEQ_MAX: Final = 2**63 - 1
WORD_PATTERN: Final = "[A-Za-z0-9._:#-]{1,128}"
"""What people, acts and their targets are called."""
_Word = Annotated[str, msgspec.Meta(pattern=rf"\A{WORD_PATTERN}\Z")]
_UUID: Final = r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"


class LimitCheck(msgspec.Struct, frozen=True, array_like=True):
    """One request of one customer wants its place in the window."""

    customer_id: str
    limit: int  # requests in any 60 seconds


class LimitVerdict(msgspec.Struct, frozen=True, array_like=True):
    """Whether it got one, and what the customer may still do."""

    allowed: bool
    remaining: int
    reset_ms: int  # until the window gives the next place back


class LimitRequest(msgspec.Struct, frozen=True):
    """A batch of checks from one gateway; order matters within one customer."""

    gateway: str
    checks: list[LimitCheck]


class LimitReply(msgspec.Struct, frozen=True):
    """A verdict for each check, in order; and over how many gateways the limit is spread."""

    verdicts: list[LimitVerdict]
    gateways: int


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a gateway knows of one key; also the payload of an entry on `topup:keys`."""

    sha256: str  # hex, of the whole key
    customer_id: str
    merchant: str  # the path segment the key is for
    scopes: tuple[str, ...] = (WRITE, READ)
    limit_per_minute: int | None = None  # None: RATE_LIMIT_PER_MINUTE
    active: bool = True
    expires_at_ms: int | None = None  # from then on it is refused, without any further message


class OperatorKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The key of one operator; also the payload of an entry on `topup:keys`."""

    sha256: str  # hex, of the whole key
    name: str
    active: bool = True


class KeySnapshot(msgspec.Struct, frozen=True):
    """All keys, and the id on `topup:keys` after which changes are not in it."""

    keys: list[ApiKey]
    as_of: str
    operators: list[OperatorKey] = []


class KeyUses(msgspec.Struct, frozen=True):
    """When each key was last used at one gateway, by its SHA-256; milliseconds since the epoch."""

    last_used_at_ms: dict[str, Annotated[int, msgspec.Meta(ge=0, le=_INSTANT_MS_MAX)]]


class KeyUsesNoted(msgspec.Struct, frozen=True):
    """How many of them were news."""

    noted: int


class TopupRow(msgspec.Struct, frozen=True, kw_only=True):
    """One topup as the ledger has it; times are milliseconds since the epoch."""

    topup_id: str
    customer_id: str
    phone: str
    country: str
    amount_minor: int
    currency: str
    provider: str
    product: str
    status: str  # a State
    reason: str | None = None
    provider_reference: str | None = None
    reference: str | None = None
    metadata: dict[str, Any] | None = None
    accepted_at_ms: int
    settled_at_ms: int | None = None
    expected_at_ms: int | None = None  # of one that waits: when it goes on, if that is known


class TopupFilter(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Which of a customer's topups, as parameters of a URL; what is None does not matter."""

    customer_id: str
    status: State | None = None  # as it is by now, so `active` and `waiting` too
    provider: str | None = None
    phone: str | None = None  # E.164
    from_ms: _Moment | None = None  # accepted at or after it
    to_ms: _Moment | None = None  # accepted before it


class TopupQuery(TopupFilter, frozen=True, kw_only=True, omit_defaults=True):
    """A page of them, newest first: the topups behind a place, where one is given."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)]
    after_ms: _Moment | None = None  # when the topup at that place was accepted
    after_id: Annotated[str, msgspec.Meta(pattern=_UUID)] | None = None


class Place(msgspec.Struct, frozen=True):
    """Where a topup stands in every list; this never changes."""

    at_ms: int
    topup_id: str


class TopupPage(msgspec.Struct, frozen=True):
    """Topups, newest first, and the place behind which there are more; None: nothing is."""

    rows: list[TopupRow]
    next: Place | None = None


class Limbo(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one currency that has been in limbo for about as long; minor units."""

    currency: str
    age: str  # one of AGES
    transactions: int
    amount_minor: int


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of `/api/admin/metrics`; volumes are minor units by currency."""

    total_transactions: int
    revenue: dict[str, int]
    today_transactions: int
    today_volume: dict[str, int]
    unresolved_transactions: int
    unresolved_volume: dict[str, int]
    limbo: list[Limbo] = []  # the same by age, as it was a few seconds ago


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """One act: who did what to what, why, and what that changed."""

    seq: Annotated[int, msgspec.Meta(description="Its place in the chain: 1, 2, 3, …")]
    id: str
    at_ms: Annotated[int, msgspec.Meta(description="Milliseconds since the epoch.")]
    who: Annotated[
        str, msgspec.Meta(description="An operator, `admin`, `cli:USER`, or one of our processes.")
    ]
    act: Annotated[str, msgspec.Meta(examples=["lane.hold", "topup.resolve", "key.revoke"])]
    target: str
    why: str
    before: Any
    after: Any
    hash: Annotated[str, msgspec.Meta(description="SHA-256 over the row before it and this one.")]


class AuditQuery(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Which acts, newest first; what is None does not matter."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 50
    before: Annotated[int, msgspec.Meta(ge=1, le=SEQ_MAX)] = SEQ_MAX  # a place in the chain
    who: _Word | None = None
    act: _Word | None = None
    target: _Word | None = None


class AuditPage(msgspec.Struct, frozen=True):
    """Acts, newest first, and the place before which there are more; None: nothing is."""

    rows: list[AuditRow]
    next: int | None = None
