"""What a merchant's request must be: from bytes to a normalised order, or a named refusal."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from services.gateway.merchant.bodies import (
    KEY_CHARACTERS_MAX,
    KEY_PATTERN,
    METADATA_DEPTH_MAX,
    TopupBody,
)
from services.gateway.merchant.fits import Fit, fit, fits, shown
from services.gateway.refusals import InvalidJson
from shared.contracts.catalogue import OFFERS, offer_of
from shared.contracts.errors import InvalidRequest
from shared.contracts.events import AUTO, METADATA_BYTES_MAX, TopupRequested
from shared.contracts.ids import fingerprint

EXAMPLE: Final = '{"phone": "5566374683", "amount": 10, "provider": "LATCOM"}'
_KEY: Final = re.compile(KEY_PATTERN)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPED: Final = re.compile(r'\\(["\\])')


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A request that can be accepted."""

    request: TopupRequested
    fingerprint: str
    key_hash: str  # empty: no idempotency key


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(f"{shown(twice)} is given twice; send each field once")
    return fields


_bodies: Final = msgspec.json.Decoder(TopupBody)
_unambiguous: Final = json.JSONDecoder(object_pairs_hook=_each_once, parse_int=str, parse_float=str)


def read_order(
    raw: bytes,
    *,
    customer_id: str,
    key_header: str | None,
    providers: Sequence[str] = tuple(OFFERS),
) -> Order:
    """Return the order that the body and the Idempotency-Key header make.

    `providers` are those of AUTO. What is asked for does not depend on how they are at the moment,
    so a repeat is known again.

    Raises:
        InvalidJson, InvalidRequest: not understood.
        UnknownProvider, InvalidPhone, InvalidAmount: understood, but not possible.
    """
    body = read_body(raw)
    key = idempotency_key(key_header, body.reference)
    _check_metadata(body.metadata)
    found = _fits(body, providers)
    first, is_auto = found[0], body.provider == AUTO
    product = (body.product or "") if is_auto else first.product
    request = TopupRequested(
        customer_id=customer_id,
        phone=first.phone,
        country=first.country,
        amount_minor=first.amount_minor,
        currency=first.currency,
        provider=body.provider,
        product=product,
        reference=key,
        metadata=body.metadata,
        route={one.provider: one.product for one in found} if is_auto else None,
    )
    return Order(
        request=request,
        fingerprint=fingerprint(
            phone=first.phone,
            amount_minor=first.amount_minor,
            currency=first.currency,
            provider=body.provider,
            product=product,
        ),
        key_hash=request.key_hash,
    )


def _fits(body: TopupBody, providers: Sequence[str]) -> list[Fit]:
    if body.provider != AUTO:
        return [fit(body, offer_of(body.provider))]
    return fits(body, providers)


def read_body(raw: bytes) -> TopupBody:
    """Return the body's fields.

    Raises:
        InvalidJson: not JSON, or nested without end.
        InvalidRequest: JSON, but not what we ask for; or a field twice, and each reader would
            take another one for meant.
    """
    try:
        body = _bodies.decode(raw)
        _unambiguous.decode(raw.decode())
    except msgspec.ValidationError as problem:
        raise InvalidRequest(f"{problem}; for example {EXAMPLE}") from None
    except (msgspec.DecodeError, ValueError, RecursionError) as problem:
        raise InvalidJson(f"The body is not JSON: {problem}; for example {EXAMPLE}") from None
    return body


def idempotency_key(header: str | None, reference: str | None) -> str | None:
    """Return the one key that header and body give, quoted or bare alike; None without any.

    Raises:
        InvalidRequest: not 1-255 visible ASCII characters, or two different keys.
    """
    named = None if header is None else _unquoted(header)
    for name, key in (("Idempotency-Key", named), ("reference", reference)):
        if key is not None and _KEY.fullmatch(key) is None:
            raise InvalidRequest(
                f"{name} must be 1 to {KEY_CHARACTERS_MAX} visible ASCII characters "
                'without spaces; for example "order-4711"'
            )
    if named is not None and reference is not None and named != reference:
        raise InvalidRequest(
            "Idempotency-Key and reference differ; send one of them, or the same in both"
        )
    return reference if named is None else named


def _unquoted(header: str) -> str:
    """Take the quotes off a structured-field string; a quote without its twin makes no key."""
    if not header.startswith('"'):
        return header
    found = _QUOTED.fullmatch(header)
    return "" if found is None else _ESCAPED.sub(r"\1", found[1])


def _check_metadata(metadata: dict[str, Any] | None) -> None:
    if metadata is None:
        return
    if _depth_exceeds(metadata, METADATA_DEPTH_MAX):
        raise InvalidRequest(f"metadata is nested deeper than {METADATA_DEPTH_MAX} levels")
    encoded = msgspec.json.encode(metadata)
    if len(encoded) > METADATA_BYTES_MAX:
        raise InvalidRequest(
            f"metadata has {len(encoded)} bytes; at most {METADATA_BYTES_MAX} are kept"
        )
    if b"\\u0000" in encoded:  # the ledger's database has no such character
        raise InvalidRequest("metadata holds the character \\u0000; leave it out")


def _depth_exceeds(value: Any, levels: int) -> bool:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return False
    return levels == 0 or any(_depth_exceeds(part, levels - 1) for part in value)
