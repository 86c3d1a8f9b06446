"""What customers, paths, limits, labels and operators' names may be; pure checks."""

import re
from collections.abc import Sequence
from typing import Final

from shared.contracts.acts import is_operator
from shared.contracts.errors import InvalidRequest
from shared.contracts.keys import SCOPES

LIMIT_MAX: Final = 1_000_000
LABEL_LENGTH_MAX: Final = 64
KEY_ID_LENGTH_MIN: Final = 8
_CUSTOMER_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MERCHANT: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KEY_ID: Final = re.compile(r"[0-9a-f]{8,64}")
_TAKEN_PATHS: Final = ("admin",)


def check_customer_id(customer_id: str) -> None:
    """Raise InvalidRequest unless it can stand in headers, logs and command lines."""
    if _CUSTOMER_ID.fullmatch(customer_id) is None:
        raise InvalidRequest(
            f"customer id {_short(customer_id)} is not 1 to 64 letters, digits, '_', '-' or '.', "
            "the first a letter or digit; for example ACME_001"
        )


def check_merchant(merchant: str) -> None:
    """Raise InvalidRequest unless it can be the segment after /api/ in a URL."""
    if _MERCHANT.fullmatch(merchant) is None:
        raise InvalidRequest(
            f"merchant {_short(merchant)} is not 1 to 63 lower-case letters, digits or inner '-'; "
            "it is a part of its URLs: /api/MERCHANT/topup; for example acme"
        )
    if merchant in _TAKEN_PATHS:
        raise InvalidRequest(f"merchant {merchant!r} is a path of our own; for example acme")


def check_limit(limit: int | None) -> None:
    """Raise InvalidRequest unless it is a number of requests a minute; None is the default."""
    if limit is not None and not 1 <= limit <= LIMIT_MAX:
        raise InvalidRequest(
            f"limit {limit} is not between 1 and {LIMIT_MAX} requests a minute; for example 500"
        )


def check_scopes(scopes: Sequence[str]) -> None:
    """Raise InvalidRequest unless there is at least one, and each is known."""
    for scope in scopes or ("",):
        if scope not in SCOPES:
            raise InvalidRequest(
                f"there is no scope {_short(scope)}, only {' and '.join(SCOPES)}; "
                f"for example {SCOPES[-1]}"
            )


def check_label(label: str) -> None:
    """Raise InvalidRequest unless it can stand in a line of a table."""
    if len(label) > LABEL_LENGTH_MAX or not label.isprintable():
        raise InvalidRequest(
            f"label {_short(label)} is not up to {LABEL_LENGTH_MAX} printable characters; "
            "for example 'web shop'"
        )


def check_operator(name: str) -> None:
    """Raise InvalidRequest unless a person may be called so."""
    if not is_operator(name):
        raise InvalidRequest(
            f"{_short(name)} is no name for an operator: 1 to 32 of a-z, 0-9, '.', '_' and '-', "
            "the first a letter, and none of our own (admin, ledger, …); for example ana"
        )


def check_key_id(key_id: str) -> None:
    """Raise InvalidRequest unless it is the start of a SHA-256 that can be looked for."""
    if _KEY_ID.fullmatch(key_id) is None:
        raise InvalidRequest(
            f"{_short(key_id)} is not a key's id, {KEY_ID_LENGTH_MIN} to 64 characters of 0-9a-f; "
            "for example 3fa9c2d1e0b7, as shown by: topup keys list"
        )


def _short(text: str) -> str:
    return repr(text if len(text) <= LABEL_LENGTH_MAX else f"{text[:LABEL_LENGTH_MAX]}…")
