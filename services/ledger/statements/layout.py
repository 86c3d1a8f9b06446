"""How one provider writes its statements: a small TOML file, and what holds without one."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from services.ledger.statements.errors import UnreadableStatement

BYTES_MAX: Final = 65_536
_EXAMPLE: Final = "see docs/reconciliation.md for an example"
_Names = Annotated[list[str], msgspec.Meta(max_length=32)]
_Rows = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
_Minutes = Annotated[int, msgspec.Meta(ge=0, le=2_880)]


class Columns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Under which headers things stand, each by any of some names; the first that is there counts.

    Upper and lower case, and spaces around, do not matter.
    """

    reference: _Names = []
    transaction: _Names = []
    phone: _Names = []
    amount: _Names = []
    currency: _Names = []
    date: _Names = []
    time: _Names = []
    status: _Names = []


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One form of statement; what is None is found out, or is as in our settings."""

    columns: Columns
    sheet: str | None = None  # of a workbook; None: the first
    header_row: _Rows | None = None  # None: the first of twenty that has the columns
    footer_rows: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    separator: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] | None = None
    encoding: str = "utf-8"
    decimal: Annotated[str, msgspec.Meta(pattern=r"\A[.,]\Z")] = "."
    currency: str | None = None  # of all lines, where no column says it; None: what we sell
    timezone: str | None = None  # of the day and of times without an offset; None: TIMEZONE
    time_format: str | None = None  # as strptime takes it; None: ISO 8601
    paid: _Names = []  # what `status` says of lines that count
    not_paid: _Names = []
    tax_inside: bool = True  # false: amounts are without the tax that our price has inside
    calling_code: Annotated[str, msgspec.Meta(pattern=r"\A[1-9][0-9]{0,2}\Z")] | None = None
    national_digits: Annotated[int, msgspec.Meta(ge=4, le=14)] | None = None
    window_minutes: _Minutes = 30
    skew_minutes: _Minutes = 2

    def __post_init__(self) -> None:
        """Refuse what would only show in the middle of a file."""
        if self.timezone is not None:
            _check_zone(self.timezone)
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(f"encoding {self.encoding!r} is not known") from None
        if not self.columns.amount:
            raise ValueError("columns.amount names no header")
        if self.columns.status and not self.paid:
            raise ValueError("columns.status is there, but `paid` does not say what counts")


def read_layout(text: bytes) -> Layout:
    """Return the layout that a TOML file describes.

    Raises:
        UnreadableStatement: it is none; the message says where.
    """
    if len(text) > BYTES_MAX:
        raise UnreadableStatement(f"the layout has over {BYTES_MAX} bytes; {_EXAMPLE}")
    try:
        return msgspec.convert(tomllib.loads(text.decode()), Layout)
    except UnicodeDecodeError:
        problem = "it is not UTF-8 text"
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as wrong:
        problem = " ".join(str(wrong).split())[:300]
    raise UnreadableStatement(f"the layout cannot be used: {problem}; {_EXAMPLE}")


@cache
def layout_of(provider: str) -> Layout:
    """Return the layout that comes with a provider, or the one of usual names."""
    folder = files("services.ledger.statements.layouts")
    found = folder.joinpath(f"{provider}.toml")
    return read_layout((found if found.is_file() else folder / "any.toml").read_bytes())


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"timezone {name!r} is not known here") from None
