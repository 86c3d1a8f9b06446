"""What the books can take at all, whoever put it on a stream."""

import re
from itertools import chain
from typing import Final

import msgspec

from shared.contracts.events import AUTO, TopupRequested
from shared.contracts.money import EXPONENTS

_TOPUP_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_AMOUNT_MINOR_MAX: Final = 2**63 - 1
_TEXT_MAX: Final = 255  # what is indexed must fit an index


def unbookable_id(topup_id: str) -> str | None:
    """Say why nothing of this id can be booked; None where it can."""
    if _TOPUP_ID.fullmatch(topup_id):
        return None
    return f"id {topup_id[:64]!r} is not a lower-case UUID"


def unbookable(request: TopupRequested) -> str | None:
    """Say why a request cannot be booked; None where it can."""
    if not 0 < request.amount_minor <= _AMOUNT_MINOR_MAX:
        return f"amount {request.amount_minor} cannot be booked"
    if request.currency not in EXPONENTS:
        return f"currency {request.currency[:8]!r} is not one of {', '.join(EXPONENTS)}"
    texts = (value for value in msgspec.structs.astuple(request) if isinstance(value, str))
    longest = max(map(len, texts))
    if longest > _TEXT_MAX:
        return f"a field of the request has {longest} characters, over {_TEXT_MAX}"
    return _wrong_route(request)


def _wrong_route(request: TopupRequested) -> str | None:
    route = request.route or {}
    if (request.provider == AUTO) != bool(route):
        return f"provider {request.provider[:32]!r} does not fit its route"
    for name in chain.from_iterable(route.items()):
        if not _NAME.fullmatch(name):
            return f"route holds {name[:32]!r}, neither a provider nor a product"
    return None
