"""Unresolved topups and what people propose of them, as gateways and the ledger speak of both."""

from typing import Annotated, Final, Literal

import msgspec

from shared.contracts.peers import PAGE_MAX, Limbo

UNRESOLVED_PATH: Final = "/unresolved"
LIMBO_PATH: Final = "/limbo"
PROPOSE_PATH: Final = "/proposals"
WITHDRAW_PATH: Final = "/proposals/withdraw"
EVIDENCE_CHARACTERS_MAX: Final = 1_000
FILE_BYTES_MAX: Final = 64 * 1024
FILE_NAME_CHARACTERS_MAX: Final = 255
_UUID: Final = r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"
Uuid = Annotated[str, msgspec.Meta(pattern=_UUID)]
ProviderName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z0-9_]{1,32}\Z")]
SettleAs = Literal["succeeded", "failed"]


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody proposed; `checker` is who ended it. Times are milliseconds.

    `overtaken`: the topup ended by itself, and the ledger has closed the proposal.
    """

    id: Uuid
    topup_id: Uuid
    settle_as: SettleAs
    provider: str | None = None  # who was paid, where the topup's own is not known
    evidence: str
    file_name: str | None = None
    file_sha256: str | None = None  # hex
    file: bytes | None = None  # left out where many are told of
    asked_at_ms: int | None = None  # when the provider was asked
    maker: str
    made_at_ms: int = 0
    state: str = "proposed"  # proposed, confirmed, withdrawn, overtaken
    checker: str | None = None
    ended_at_ms: int | None = None
    ended_why: str | None = None


class Withdrawing(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes back which."""

    id: Uuid
    topup_id: Uuid
    who: str
    why: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it was done; else what stands: the topup's status, and its newest proposal."""

    done: bool
    status: str | None  # None: there is no such topup
    proposal: Proposal | None


class InLimbo(msgspec.Struct, frozen=True):
    """All of it."""

    sums: list[Limbo]


class Unresolved(msgspec.Struct, frozen=True, kw_only=True):
    """One topup in limbo, or asked for by its id; times are None while it is open."""

    topup_id: str
    customer_id: str
    phone: str
    amount_minor: int
    currency: str
    provider: str
    status: str
    reason: str | None
    provider_reference: str | None
    reference: str | None
    since_ms: int | None
    age_s: int | None
    settled_on: str | None = None  # the proposal on which people settled it
    proposals: list[Proposal] = []  # the newest first


class UnresolvedQuery(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Which of them, by when they came there; behind a place, where one is given."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 50
    order: Literal["oldest", "newest"] = "oldest"
    provider: ProviderName | None = None
    topup_id: Uuid | None = None
    after_ms: Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)] | None = None
    after_id: Uuid | None = None


class UnresolvedPage(msgspec.Struct, frozen=True):
    """A page; `more` says whether another one follows."""

    rows: list[Unresolved]
    more: bool
