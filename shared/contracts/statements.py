"""A provider's statement that is sent to be compared with the books, and what comes of it."""

from typing import Annotated, Final

import msgspec

COMPARE_PATH: Final = "/statements/compare"
STATEMENT_BYTES_MAX: Final = 900_000
"""Of a file that goes through a gateway; for larger ones there is the command."""
DIFFERENCES_MAX: Final = 200
FILE_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9 ._()+-]{0,127}"


class Compare(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Whose statement of which day it is, and what the file is called."""

    provider: Annotated[str, msgspec.Meta(pattern=r"\A[A-Z0-9_]{1,32}\Z")]
    day: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
    file: Annotated[str, msgspec.Meta(pattern=rf"\A{FILE_PATTERN}\Z")]


class ClassSum(msgspec.Struct, frozen=True, kw_only=True):
    """One class in one currency: both sides, and by how much they differ."""

    name: str = msgspec.field(name="class")
    currency: str
    theirs_count: int
    theirs_amount: str
    ours_count: int
    ours_amount: str
    difference: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A line, a topup, or both, that are not matched; phones are masked."""

    kind: str = msgspec.field(name="class")
    row: int | None
    their_reference: str
    their_transaction: str
    their_phone: str
    their_amount: str
    their_time: str
    topup_id: str
    our_status: str
    our_phone: str
    our_amount: str


class ShownEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The end of an unresolved topup that the statement shows, as it would be proposed."""

    topup_id: str
    to: str
    evidence: str
    asked_at: str | None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines of the day and its topups are to each other."""

    provider: str
    file: str
    file_sha256: str
    day: str
    timezone: str
    clean: bool
    lines_read: int
    lines_of_other_days: int
    lines_not_paid: int
    totals: list[ClassSum]
    differences: Annotated[
        list[Difference], msgspec.Meta(description=f"The first {DIFFERENCES_MAX}.")
    ]
    differences_count: int
    ends: list[ShownEnd]


class Comparing(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it; `problem` says why the file cannot be used, where it cannot."""

    found: Compared | None = None
    problem: str | None = None
