"""Reads what a provider answers: strictly, and with a sense for doubt. No I/O."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from services.dispatcher.providers.adapter import Answer, Delivered, Kind, Refused, Unknown
from services.dispatcher.providers.masking import storable
from shared.contracts.money import format_amount

REASON_CHARS_MAX: Final = 200
CODE_CHARS_MAX: Final = 64
Mask = Callable[[bytes | str], str]
ThingT = TypeVar("ThingT")

# These say that an earlier call may have paid, or that the provider does not know itself.
_DOUBT: Final = re.compile(
    r"duplica|repetid|already|ya (?:existe|fue|se encuentra)|time[ -]?d? ?-?out|pending|pendiente"
    r"|in process|en proceso|procesando",
    re.IGNORECASE,
)

_DECIDES: Final = (Delivered, Unknown, Refused)


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name twice")


_unambiguous: Final = json.JSONDecoder(object_pairs_hook=_each_once, parse_int=str, parse_float=str)


def read(decoder: msgspec.json.Decoder[ThingT], body: bytes) -> ThingT | None:
    """Return what the body surely says: one that says a thing twice says neither."""
    try:
        thing = decoder.decode(body)
        if not _says_each_once(body):
            _unambiguous.decode(body.decode())
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return thing


def _says_each_once(body: bytes) -> bool:
    """Tell whether it is an object with as many names as colons: no name can be there twice.

    The short way for a flat answer; one that has a colon in a text, or another object, is
    looked through.
    """
    said = msgspec.json.decode(body)
    return isinstance(said, dict) and len(said) == body.count(b":")


def leaves_doubt(*words: str) -> bool:
    """Tell whether a refusal in these words does not exclude a payment."""
    return any(_DOUBT.search(each) for each in words)


def text(value: str | int | None) -> str:
    """Return an id as text; providers write them as numbers too."""
    return "" if value is None else str(value)


def delivered(named: str, raw: str) -> Delivered:
    """Return the good news, with the provider's own id as far as it can be stored."""
    return Delivered(provider_reference=storable(named)[:CODE_CHARS_MAX], raw=raw)


def refused(reason: str, code: str, kind: Kind, *, raw: str, mask: Mask) -> Refused:
    """Return a definite no, masked and bounded."""
    return Refused(
        reason=mask(reason)[:REASON_CHARS_MAX], code=mask(code)[:CODE_CHARS_MAX], kind=kind, raw=raw
    )


def deciding(meanings: Sequence[Answer]) -> Answer:
    """Return which of all that went out under one reference decides: what was paid, then doubt."""
    return min(meanings, key=lambda answer: _DECIDES.index(type(answer)))


def past(answer: Refused) -> Refused:
    """Return a refusal of the past: our account's trouble of then holds nothing now."""
    return msgspec.structs.replace(answer, kind="retry") if answer.kind == "hold" else answer


def plain(minor: int, currency: str) -> str:
    """Return an amount as a JSON number without zeros that say nothing: 10, 25.86."""
    number = format_amount(minor, currency)
    return number.rstrip("0").rstrip(".") if "." in number else number


class NotSold(ValueError):
    """The provider has no such product, country or phone; nothing was sent."""
