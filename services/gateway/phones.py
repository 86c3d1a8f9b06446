"""Phones as E.164: national or international digits in, valid for the country, else refused."""

import re
from functools import lru_cache
from typing import Final

import phonenumbers

from shared.contracts.errors import InvalidPhone

CACHED_MAX: Final = 10_000
WRITTEN_PATTERN: Final = r"\+?[0-9(][0-9 ().-]{2,30}"
_WRITTEN: Final = re.compile(WRITTEN_PATTERN, re.ASCII)
_EXAMPLES: Final = {"MX": "5566374683 or +525566374683"}
_MX_CODE: Final = 52
_OLD_MX_DIGITS: Final = 11
_NOBODYS: Final = frozenset(
    {
        phonenumbers.PhoneNumberType.TOLL_FREE,
        phonenumbers.PhoneNumberType.PREMIUM_RATE,
        phonenumbers.PhoneNumberType.SHARED_COST,
    }
)
"""Numbers of services, on no phone that airtime could go to."""


@lru_cache(maxsize=CACHED_MAX)
def e164(written: str, country: str) -> str:
    """Return `+525566374683` for what a merchant wrote.

    Raises:
        InvalidPhone: not a number that the country has today.
    """
    if _WRITTEN.fullmatch(written) is None:
        raise _refused(country)
    try:
        number = phonenumbers.parse(written, country)
    except phonenumbers.NumberParseException:
        raise _refused(country) from None
    _modernise(number)
    if (
        not phonenumbers.is_valid_number_for_region(number, country)
        or phonenumbers.number_type(number) in _NOBODYS
    ):
        raise _refused(country)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _modernise(number: phonenumbers.PhoneNumber) -> None:
    """Drop the 1 that Mexican mobiles had after +52 until 2019; lists still carry it."""
    national = str(number.national_number)
    if (
        number.country_code == _MX_CODE
        and len(national) == _OLD_MX_DIGITS
        and national.startswith("1")
    ):
        number.national_number = int(national[1:])


def _refused(country: str) -> InvalidPhone:
    """The number itself is not repeated: what is in an error ends in somebody's log."""
    example = _EXAMPLES.get(country, "digits, with + and the country's code")
    return InvalidPhone(f"phone is not a valid number of {country}; for example {example}")
