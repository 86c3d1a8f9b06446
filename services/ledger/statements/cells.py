"""What the cells of a statement say: ids, phones, amounts and moments; pure, and strict."""

import datetime as dt
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from services.ledger.statements.tables import NO_ID, NO_PHONE, NO_TIME
from shared.contracts.money import EXPONENTS

_ID: Final = re.compile(
    r"([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})(?:-[0-9]{1,6})?",
    re.IGNORECASE,
)
_AMOUNT: Final = {
    ".": re.compile(
        r"\$?\s?([0-9]{1,12}|[0-9]{1,3}(?:[, \u00a0][0-9]{3}){1,3})(?:\.([0-9]{1,9}))?"
    ),
    ",": re.compile(r"\$?\s?([0-9]{1,12}|[0-9]{1,3}(?:[. \u00a0][0-9]{3}){1,3})(?:,([0-9]{1,9}))?"),
}
_PHONE: Final = re.compile(r"\+?[0-9 ().-]{4,24}")
_SERIAL: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,12})?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PHONE_DIGITS_MAX: Final = 15  # E.164
_FIRST_DAY: Final = {False: dt.datetime(1899, 12, 30), True: dt.datetime(1904, 1, 1)}  # noqa: DTZ001 - a workbook knows no zone
_DAY_MS: Final = 86_400_000


def topup_id(text: str) -> bytes:
    """Return the id of a topup in it, also with an attempt behind it (`<id>-2`), or NO_ID."""
    found = _ID.fullmatch(text)
    return bytes.fromhex(found[1].replace("-", "")) if found else NO_ID


def phone_reader(calling_code: str | None, national_digits: int | None) -> Callable[[str], int]:
    """Return what makes a cell E.164 digits, or NO_PHONE: masked, or none."""

    def phone(text: str) -> int:
        if text.isascii() and text.isdigit():  # nearly all are
            digits = text.lstrip("0")
        elif _PHONE.fullmatch(text):
            digits = re.sub(r"[^0-9]", "", text).lstrip("0")
        else:
            return NO_PHONE
        if calling_code is not None and national_digits is not None:
            if len(digits) < national_digits:
                return NO_PHONE
            digits = calling_code + digits[-national_digits:]
        return int(digits) if digits and len(digits) <= _PHONE_DIGITS_MAX else NO_PHONE

    return phone


def amount_reader(decimal: str) -> Callable[[str, str], int]:
    """Return what makes a cell and a currency minor units; it raises ValueError, saying why."""
    other = "," if decimal == "." else "."

    @lru_cache(maxsize=65_536)
    def amount(text: str, currency: str) -> int:
        if (found := _AMOUNT[decimal].fullmatch(text)) is None:
            raise ValueError(
                f"amount {text[:40]!r} is not a number above 0 such as 1234{decimal}50; with "
                f"{other!r} before the cents, let the layout say decimal = {other!r}"
            )
        exponent = EXPONENTS[currency]
        decimals = (found[2] or "").rstrip("0")
        if len(decimals) > exponent:
            raise ValueError(f"amount {text[:40]!r} has more decimals than {currency} has")
        whole = re.sub(r"[^0-9]", "", found[1])
        minor = int(whole + decimals.ljust(exponent, "0"))
        if minor == 0:
            raise ValueError("amount is 0")
        return minor

    return amount


class Moments:
    """Reads times of one zone; of a workbook also its numbers of days."""

    def __init__(self, zone: ZoneInfo, form: str | None, *, since_1904: bool = False) -> None:
        self._zone = zone
        self._form = form
        self._first_day = _FIRST_DAY[since_1904]

    def read(self, text: str) -> tuple[int, dt.date]:
        """Return milliseconds since the epoch, NO_TIME for a mere day, and the day in the zone.

        Raises:
            ValueError: it is neither.
        """
        try:
            moment = self._moment(text)
            local = moment if moment.tzinfo is None else moment.astimezone(self._zone)
            at_ms = round(local.replace(tzinfo=self._zone).timestamp() * 1_000)
        except (ValueError, OverflowError):
            wanted = f"as {self._form}" if self._form else "such as 2026-11-23 14:05:00"
            raise ValueError(
                f"time {text[:40]!r} is not one {wanted}; let the layout say time_format, "
                "for example time_format = '%d/%m/%Y %H:%M:%S'"
            ) from None
        day_only = self._is_day(text)
        return NO_TIME if day_only else max(at_ms, 0), local.date()

    def _moment(self, text: str) -> dt.datetime:
        if _SERIAL.fullmatch(text) and self._form is None:
            passed = dt.timedelta(milliseconds=round(float(text) * _DAY_MS))
            return self._first_day + passed
        if self._form is None:
            return dt.datetime.fromisoformat(text)
        return dt.datetime.strptime(text, self._form)  # noqa: DTZ007 - the zone is put to it above

    def _is_day(self, text: str) -> bool:
        if self._form is not None:
            return not re.search(r"%[HIcXsT]", self._form)
        return bool(_DAY.fullmatch(text)) or text.isdigit()
