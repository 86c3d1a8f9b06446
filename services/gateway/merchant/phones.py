"""Phones as E.164: national or international digits in, valid for the country, else refused."""

import re
from functools import cache, lru_cache
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
    code, usual = _usual(country)
    found = None if usual is None else usual.fullmatch(written)
    return parsed(written, country) if found is None else f"+{code}{found[1]}"


def parsed(written: str, country: str) -> str:
    """Return the same, in whichever of many ways it is written; raises as `e164`."""
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


@cache
def _usual(country: str) -> tuple[int, re.Pattern[str] | None]:
    """Return the country's code, and what matches its mobiles as most are written: all digits.

    None where the digits could begin with a prefix, or others have the same code. Each match is
    what `parsed` would find, for a fiftieth of its time.
    """
    about = phonenumbers.PhoneMetadata.metadata_for_region(country)
    assert about is not None, "a country of the catalogue"
    code = about.country_code
    assert code is not None, "each country has one"
    shared = len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]) > 1
    if about.national_prefix_for_parsing or shared or about.mobile is None:
        return code, None
    services = (about.toll_free, about.premium_rate, about.shared_cost)
    nobodys = "|".join(one.national_number_pattern or "" for one in services if one)
    mobile = about.mobile.national_number_pattern
    pattern = rf"(?:\+{code})?((?!0|(?:{nobodys})\Z)(?:{mobile}))"
    return code, re.compile(pattern, re.ASCII)


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
