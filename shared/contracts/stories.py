"""All that the books hold of one topup, as the ledger tells it to a gateway."""

from typing import Final

import msgspec

from shared.contracts.events import Evidence
from shared.contracts.peers import AuditRow, TopupRow
from shared.contracts.tries import Tried

DOSSIER_PATH: Final = "/topups/{topup_id}/dossier"
EVIDENCE_PATH: Final = "/topups/{topup_id}/evidence"
FIND_PATH: Final = "/find"
ACTS_MAX: Final = 500
FOUND_MAX: Final = 20
"""As many are shown to choose from; whoever has more asks for one by its id."""


class BookedOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it, with what that rests on; times are milliseconds since the epoch."""

    seq: int
    state: str
    reason: str | None
    provider_reference: str | None
    evidence: Evidence | None
    tried: list[Tried]
    entry: str
    settled_at_ms: int
    booked_at_ms: int


class BookedPosting(msgspec.Struct, frozen=True, kw_only=True):
    """One line: the amount has moved between two accounts."""

    seq: int
    line: int
    debit: str
    credit: str
    currency: str
    amount_minor: int


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """One topup in the books, at one moment."""

    topup: TopupRow
    outcomes: list[BookedOutcome]
    postings: list[BookedPosting]
    set_aside: int  # entries that contradict these
    acts: list[AuditRow] = []  # of it, and of its lanes in its time; at most `ACTS_MAX`


class Sought(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is looked for, over all customers: whichever of these fits; at least one is given."""

    topup_id: str | None = None
    reference: str | None = None  # the merchant's or the provider's
    phone: str | None = None  # E.164


class Found(msgspec.Struct, frozen=True):
    """The newest topups that fit, at most `FOUND_MAX`, and whether there are more."""

    rows: list[TopupRow]
    has_more: bool


class Packed(msgspec.Struct, frozen=True):
    """The evidence of one topup as a file; None where the ledger has no key to sign it with."""

    content: bytes | None
