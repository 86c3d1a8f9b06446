"""What a merchant's list shows: from a query string to a filter and a page, or a named refusal."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from services.gateway.cursors import place_at
from services.gateway.merchant.phones import e164
from shared.contracts.catalogue import OFFERS
from shared.contracts.errors import InvalidPhone, InvalidRequest
from shared.contracts.events import AUTO
from shared.contracts.instants import next_ms
from shared.contracts.peers import TopupFilter, TopupQuery
from shared.contracts.states import MERCHANT_STATUS, State

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 100
PARAMETERS_MAX: Final = 16
SHOWN_CHARACTERS_MAX: Final = 32
_STATES: Final = {word: state for state, word in MERCHANT_STATUS.items()}
_LIMIT: Final = re.compile(r"[0-9]{1,3}")
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_SPACED_OFFSET: Final = re.compile(r" (\d\d:\d\d)$")

ReadT = TypeVar("ReadT")


def read_page(query: bytes, *, customer_id: str) -> TopupQuery:
    """Return which page of which list the query string asks for.

    Raises:
        InvalidRequest: a parameter that is unknown, comes twice, or is wrong; the text names it.
    """
    given = _parameters(query, known={*_FILTERS, "limit", "cursor"})
    wanted = _filter(given, customer_id)
    limit = LIMIT_DEFAULT if "limit" not in given else _limit(given["limit"])
    page = TopupQuery(**msgspec.structs.asdict(wanted), limit=limit)
    if "cursor" not in given:
        return page
    place = place_at(given["cursor"], wanted)
    return msgspec.structs.replace(page, after_ms=place.at_ms, after_id=place.topup_id)


def read_filter(query: bytes, *, customer_id: str) -> TopupFilter:
    """Return which topups belong into the file; raises as `read_page`."""
    return _filter(_parameters(query, known=set(_FILTERS)), customer_id)


def filter_of(page: TopupQuery) -> TopupFilter:
    """Return the filter whose page this is."""
    fields = TopupFilter.__struct_fields__
    return TopupFilter(**{name: getattr(page, name) for name in fields})


def _parameters(query: bytes, *, known: set[str]) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(
            query.decode("ascii", "replace"),
            keep_blank_values=True,
            max_num_fields=PARAMETERS_MAX,
        )
    except ValueError:
        raise InvalidRequest(
            f"more than {PARAMETERS_MAX} parameters; for example ?limit=50"
        ) from None
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise InvalidRequest(
                f"parameter {_short(name)} is not known here; known: {', '.join(sorted(known))}; "
                "for example ?status=succeeded"
            )
        if name in given:
            raise InvalidRequest(f"{name} is given twice; for example ?{name}={_EXAMPLES[name]}")
        given[name] = value
    return given


def _filter(given: Mapping[str, str], customer_id: str) -> TopupFilter:
    read = {name: _FILTERS[name](value) for name, value in given.items() if name in _FILTERS}
    return TopupFilter(
        customer_id=customer_id,
        status=read.get("status"),
        provider=read.get("provider"),
        phone=read.get("phone"),
        from_ms=read.get("from"),
        to_ms=read.get("to"),
    )


def _status(value: str) -> State:
    if value not in _STATES:
        raise _wrong("status", value, f"not one of {', '.join(_STATES)}")
    return _STATES[value]


def _provider(value: str) -> str:
    known = (*OFFERS, AUTO)
    if value not in known:
        raise _wrong("provider", value, f"not one of {', '.join(known)}")
    return value


def _phone(value: str) -> str:
    """Read a phone of any country that is served; a + that came as a space is meant as one."""
    said = ""
    for country in dict.fromkeys(offer.country for offer in OFFERS.values()):
        try:
            return e164(re.sub(r"^ ", "+", value), country)
        except InvalidPhone as problem:
            said = str(problem)
    raise InvalidRequest(said)


def _instant(name: str) -> Callable[[str], int]:
    def read(value: str) -> int:
        try:
            moment = msgspec.convert(_SPACED_OFFSET.sub(r"+\1", value), _Instant)
        except msgspec.ValidationError:
            raise _wrong(name, value, "not a time of RFC 3339 with its offset") from None
        return next_ms(moment)

    return read


def _limit(value: str) -> int:
    if not _LIMIT.fullmatch(value) or not 1 <= int(value) <= LIMIT_MAX:
        raise _wrong("limit", value, f"not a whole number from 1 to {LIMIT_MAX}")
    return int(value)


_FILTERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "status": _status,
    "provider": _provider,
    "phone": _phone,
    "from": _instant("from"),
    "to": _instant("to"),
}
_EXAMPLES: Final = {
    "status": "succeeded",
    "provider": "LATCOM",
    "phone": "5566374683",
    "from": "2026-11-23T00:00:00Z",
    "to": "2026-11-24T00:00:00Z",
    "limit": "50",
    "cursor": "… as next_cursor of the page before has it",
}


def _wrong(name: str, value: str, problem: str) -> InvalidRequest:
    return InvalidRequest(
        f"{name} {_short(value)} is {problem}; for example ?{name}={_EXAMPLES[name]}"
    )


def _short(text: str) -> str:
    return repr(text[:SHOWN_CHARACTERS_MAX])
