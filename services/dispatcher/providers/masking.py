"""Evidence: a provider's own words, without secrets and without the phone's middle digits."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

EVIDENCE_CHARS_MAX: Final = 1_024
SECRET_CHARS_MIN: Final = 4
SPELLINGS_MAX: Final = 16
_HIDDEN: Final = "***"
_BEARER: Final = re.compile(r"(?i)\bbearer\s+[\w.~+/=-]+")
_JWT: Final = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
_DIALLED: Final = re.compile(r"[0-9](?:[\s().-]{0,2}[0-9]){9,14}")
_NATIONAL_DIGITS: Final = 10
_SHOWN_DIGITS: Final = 2
_NO_DIGIT: Final = bytes(set(range(256)) - set(b"0123456789"))


def mask(answer: bytes | str, *, phone: str, secrets: Iterable[str]) -> str:
    """Return what may be kept of an answer.

    Masked first and cut then: a cut through a secret would leave half of it.
    """
    text = storable(answer if isinstance(answer, str) else answer.decode("utf-8", "replace"))
    for secret in _spellings(tuple(secrets)):
        text = text.replace(secret, _HIDDEN)
    if "bearer" in text.lower():
        text = _BEARER.sub(f"Bearer {_HIDDEN}", text)
    if "eyJ" in text:
        text = _JWT.sub(_HIDDEN, text)
    text = _without_phone(text, phone[-_NATIONAL_DIGITS:])
    if len(text) > EVIDENCE_CHARS_MAX:
        return text[: EVIDENCE_CHARS_MAX - 1] + "…"
    return text


def storable(text: str) -> str:
    """Return the text without the character NUL, plain or as JSON writes it: no database has it."""
    return text.replace("\0", "\ufffd").replace("\\u0000", "\\ufffd")


def _without_phone(text: str, national: str) -> str:
    hidden = "*" * (len(national) - _SHOWN_DIGITS) + national[-_SHOWN_DIGITS:]

    def hide(found: re.Match[str]) -> str:
        digits = "".join(filter(str.isdigit, found[0]))
        return digits.replace(national, hidden) if national in digits else found[0]

    text = text.replace(national, hidden)
    digits = text.encode(errors="replace").translate(None, delete=_NO_DIGIT)
    return _DIALLED.sub(hide, text) if national.encode() in digits else text


@lru_cache(maxsize=SPELLINGS_MAX)
def _spellings(secrets: tuple[str, ...]) -> list[str]:
    """Return each secret as it is, and as JSON writes it; the longest first."""
    long_enough = [secret for secret in secrets if len(secret) >= SECRET_CHARS_MIN]
    found = {*long_enough, *(msgspec.json.encode(s)[1:-1].decode() for s in long_enough)}
    return sorted(found, key=len, reverse=True)
