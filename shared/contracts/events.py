"""The facts that cross services, as they lie on the streams: JSON arrays, readable and small.

A payload starts with its tag (`r1` a request, `e1` evidence). Fields are only ever added at the
end, with a default; a change of meaning is a new tag beside the old one.
"""

from typing import Any, Final

import msgspec

from shared.contracts.ids import digest

METADATA_BYTES_MAX: Final = 2_048
AUTO: Final = "AUTO"
"""The provider of a request that leaves the choice to us."""


class TopupRequested(
    msgspec.Struct, frozen=True, kw_only=True, array_like=True, omit_defaults=True, tag="r1"
):
    """A merchant's accepted request; field `body` of record, lane entry and outcome entry.

    The topup's id travels beside it as a field of its own.
    """

    customer_id: str
    phone: str  # E.164
    country: str  # ISO 3166-1 alpha-2
    amount_minor: int
    currency: str  # ISO 4217
    provider: str
    product: str
    reference: str | None = None  # the merchant's idempotency key
    metadata: dict[str, Any] | None = None
    route: dict[str, str] | None = None  # with AUTO: who may have it, and as which product

    def sold_by(self, lane: str, *, settled: bool) -> tuple[str, str]:
        """Return the provider and the product to tell: with AUTO they are known at the end."""
        if self.route is None:
            return self.provider, self.product
        return (lane, self.route[lane]) if settled and lane in self.route else (AUTO, self.product)

    @property
    def key_hash(self) -> str:
        """The name of the idempotency key's record; empty where the merchant gave none."""
        return "" if self.reference is None else digest(self.customer_id, self.reference)


class Evidence(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    array_like=True,
    omit_defaults=True,
    tag="e1",
):
    """What an outcome rests on; field `evidence` of the outcome entry."""

    provider_reference: str | None = None
    code: str | None = None  # the provider's own
    raw: Any = None  # the provider's answer, masked and bounded: as JSON where it is that, or text
    by: str | None = None  # the owner or the person that found it out
    attempt: int = 0


_DEFAULT_END: Final = b",null]"
_encoder: Final = msgspec.json.Encoder()
_requests: Final = msgspec.json.Decoder(TopupRequested)
_evidence: Final = msgspec.json.Decoder(Evidence)


def encode(event: TopupRequested | Evidence) -> bytes:
    """Return the bytes that travel; defaults at the end are left out, for they lie in memory."""
    body = _encoder.encode(event)
    while body.endswith(_DEFAULT_END):
        body = body[: -len(_DEFAULT_END)] + b"]"
    return body


def decode_request(body: bytes) -> TopupRequested:
    """Read a request back.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: these bytes are something else; bury them.
    """
    return _requests.decode(body)


def key_hash_in(body: bytes) -> str:
    """Return the request's `key_hash`; of what nobody can read there is none."""
    try:
        return decode_request(body).key_hash
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""


def route_in(body: bytes) -> tuple[str, ...]:
    """Return the lanes that may have the request, where there are several; else nothing."""
    if b'"AUTO"' not in body:
        return ()
    try:
        return tuple(decode_request(body).route or ())
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ()


def decode_evidence(body: bytes) -> Evidence:
    """Read evidence back; raises as `decode_request` does."""
    return _evidence.decode(body)
