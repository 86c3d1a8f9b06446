"""A JSON amount as plain decimal text, exactly; no binary float is ever made of it."""

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final

import msgspec

from shared.contracts.errors import InvalidAmount, InvalidRequest

CHARACTERS_MAX: Final = 64
DIGITS_MAX: Final = 9
_EXACT: Final = Context(prec=CHARACTERS_MAX, traps=[Inexact, InvalidOperation])


def amount_text(raw: msgspec.Raw) -> str:
    """Return a string as it stands and a number in its plain form: `1e1` and `10.000` are `10`.

    Raises:
        InvalidRequest: neither a number nor a string.
        InvalidAmount: a number that no amount can be.
    """
    token = bytes(raw).strip()
    if token.isdigit() and len(token) <= DIGITS_MAX and not token.startswith(b"0"):
        return token.decode()  # as most are; the long way would find the same
    if len(token) > CHARACTERS_MAX:
        raise InvalidAmount(f"amount has more than {CHARACTERS_MAX} characters")
    if token.startswith(b'"'):
        return _string(token)
    if token[:1] not in (b"-", *(b"%d" % digit for digit in range(10))):
        raise InvalidRequest('amount must be a number or a string; for example 10 or "10.50"')
    return _plain(token.decode())


def _string(token: bytes) -> str:
    try:
        return msgspec.json.decode(token, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest('amount is not a readable string; for example "10.50"') from None


def _plain(token: str) -> str:
    try:
        number = _EXACT.create_decimal(token)
    except (Inexact, InvalidOperation):
        raise InvalidAmount(f"amount {token[:32]} is out of range") from None
    if number <= 0:
        raise InvalidAmount("amount must be above 0; for example 10")
    if number.adjusted() >= DIGITS_MAX:
        raise InvalidAmount(f"amount {token[:32]} has more than {DIGITS_MAX} digits")
    if number.adjusted() < -CHARACTERS_MAX:
        raise InvalidAmount("amount has more than 2 decimals; for example 10.50")
    return format(Decimal(number).normalize(_EXACT), "f")
