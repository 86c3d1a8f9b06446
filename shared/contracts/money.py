"""Money as whole minor units: read exactly from text, never through a binary float."""

import re
from typing import Final

from shared.contracts.errors import InvalidAmount

EXPONENTS: Final = {"MXN": 2, "USD": 2}
"""ISO 4217 minor units; a currency that is missing here is not sold."""

AMOUNT_PATTERN: Final = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,2}))?")


def parse_amount(text: str, currency: str) -> int:
    """Return the minor units that `text` (`10`, `10.5`, `10.50`) stands for.

    Raises:
        InvalidAmount: not of that form, more decimals than the currency has, or not above zero.
    """
    found = AMOUNT_PATTERN.fullmatch(text)
    if found is None:
        raise InvalidAmount(
            f"amount {text[:32]!r} is not a number with at most 9 digits and 2 decimals"
        )
    whole, decimals = found[1], (found[2] or "").rstrip("0")
    exponent = EXPONENTS[currency]
    if len(decimals) > exponent:
        raise InvalidAmount(f"amount {text} has more decimals than {currency} has")
    unit = int(10**exponent)
    minor = int(whole) * unit + int(decimals.ljust(exponent, "0") or "0")
    if minor <= 0:
        raise InvalidAmount("amount must be above 0")
    return minor


def format_amount(minor: int, currency: str) -> str:
    """Return minor units as decimal text with all of the currency's decimals: `10.00`."""
    exponent = EXPONENTS[currency]
    sign = "-" if minor < 0 else ""
    whole, rest = divmod(abs(minor), 10**exponent)
    return f"{sign}{whole}.{rest:0{exponent}d}" if exponent else f"{sign}{whole}"
