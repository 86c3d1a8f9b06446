"""How a moment, an age, an amount and foreign text are written on a screen."""

import datetime as dt
from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo

from shared.contracts.money import EXPONENTS, format_amount

NOTHING: Final = "-"
_S_TENTHS: Final = 10
_S_MIN: Final = 60
_S_HOUR: Final = 3_600
_S_DAY: Final = 86_400


def age(seconds: float) -> str:
    """Return `0.4 s`, `4 s`, `42 s`, `3 min 12 s`, `5 h 03 min` or `2 d 4 h`."""
    whole = int(seconds)
    if whole < _S_MIN:
        return f"{seconds:.1f} s" if whole < _S_TENTHS and seconds != whole else f"{whole} s"
    if whole < _S_HOUR:
        return f"{whole // _S_MIN} min {whole % _S_MIN:02} s"
    if whole < _S_DAY:
        return f"{whole // _S_HOUR} h {whole % _S_HOUR // _S_MIN:02} min"
    return f"{whole // _S_DAY} d {whole % _S_DAY // _S_HOUR} h"


def moment(at_ms: int, timezone: str) -> dt.datetime:
    """Return the moment as a clock on the wall there shows it."""
    return dt.datetime.fromtimestamp(at_ms / 1_000, ZoneInfo(timezone))


def stamp(at_ms: int) -> str:
    """Return the moment as the API writes it: `2026-11-23T22:00:00.123Z`."""
    return f"{moment(at_ms, 'UTC'):%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03}Z"


def money(minor: int, currency: str) -> str:
    """Return `10.00 MXN`; minor units where the currency is one that nobody sells."""
    known = currency in EXPONENTS
    return f"{format_amount(minor, currency) if known else f'{minor} minor'} {currency}"


def volume(minor_by_currency: Mapping[str, int]) -> str:
    """Return `490.00 MXN, 3.00 USD`."""
    shown = (money(minor, currency) for currency, minor in sorted(minor_by_currency.items()))
    return ", ".join(shown) or NOTHING


def plain(text: object) -> str:
    """Return foreign text without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in str(text))


def cut(text: str, width: int) -> str:
    """Return the text, with its end left out where it is too long."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
