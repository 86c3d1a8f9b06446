"""What LATCOM is told, and what its answers mean; no I/O."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from services.dispatcher.providers.adapter import Answer, Delivered, Refused, Sale, Unknown
from services.dispatcher.providers.masking import storable
from services.dispatcher.providers.wire import Reply
from shared.contracts.catalogue import OFFERS, Product
from shared.contracts.money import format_amount

OFFER: Final = OFFERS["LATCOM"]
COUNTRIES: Final = {"MX": "MEXICO"}
OPERATOR: Final = "TELEFONICA"
REASON_CHARS_MAX: Final = 200
CODE_CHARS_MAX: Final = 64
HTTP_OK: Final = 200

CODES: Final[Mapping[str, Literal["retry", "hold"]]] = {
    # LATCOM publishes no codes: a row comes with where it was seen. All others are final.
    "SBX_TRY_AGAIN": "retry",  # the sandbox, phones …902
    "SBX_WALLET_EMPTY": "hold",  # the sandbox, phones …907
}

# These say that an earlier call may have paid, or that LATCOM does not know itself.
_DOUBT: Final = re.compile(
    r"duplica|repetid|already|ya (?:existe|fue|se encuentra)|time[ -]?d? ?-?out|pending|pendiente"
    r"|in process|en proceso|procesando",
    re.IGNORECASE,
)
_PHONE: Final = re.compile(r"\+52([0-9]{10})")


class NotSold(ValueError):
    """LATCOM has no such product, country or phone; nothing was sent."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /api/tn/fast`; the names are LATCOM's."""

    phone: str = msgspec.field(name="targetMSISDN")
    reference: str = msgspec.field(name="dist_transid")
    operator: str = OPERATOR
    country: str
    currency: str
    amount: msgspec.Raw
    product: str = msgspec.field(name="productId")
    sku: str = msgspec.field(name="skuID", default="0")
    service: int = 2


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What comes back, for success and failure alike; ids may be text or numbers."""

    status: str
    transaction: str | int | None = msgspec.field(name="transId", default=None)
    vendor_transaction: str | int | None = msgspec.field(name="venTransid", default=None)
    code: str | int | None = msgspec.field(name="vendorResponseCode", default=None)
    message: str | None = msgspec.field(name="vendorResponseMsg", default=None)
    reference: str | int | None = msgspec.field(name="distTransid", default=None)


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name twice")


_results: Final = msgspec.json.Decoder(Result)
_unambiguous: Final = json.JSONDecoder(object_pairs_hook=_each_once, parse_int=str, parse_float=str)


def order_body(sale: Sale, reference: str) -> bytes:
    """Return the paying request's body.

    Raises:
        NotSold: this cannot be told to LATCOM at all.
    """
    product = next((product for product in OFFER.products if product.id == sale.product), None)
    country, phone = COUNTRIES.get(sale.country), _PHONE.fullmatch(sale.phone)
    if product is None or not product.takes(sale.amount_minor) or sale.currency != OFFER.currency:
        raise NotSold("product, amount and currency do not fit together")
    if country is None or phone is None:
        raise NotSold("country and phone do not fit together")
    return msgspec.json.encode(
        Order(
            phone=phone[1],
            reference=reference,
            country=country,
            currency=sale.currency,
            amount=msgspec.Raw(wire_amount(product, sale.amount_minor, sale.currency).encode()),
            product=product.id,
        )
    )


def wire_amount(product: Product, amount_minor: int, currency: str) -> str:
    """Return the amount without the tax inside it, as a JSON number; half a cent goes up."""
    parts = 100 + product.tax_percent
    minor = (2 * 100 * amount_minor + parts) // (2 * parts)
    text = format_amount(minor, currency)
    return text.rstrip("0").rstrip(".") if "." in text else text


def read_result(reply: Reply, reference: str) -> Result | None:
    """Return the answer if it is surely one, and surely about this reference.

    One that says a thing twice says neither.
    """
    if reply.status != HTTP_OK:
        return None
    try:
        result = _results.decode(reply.body)
        _unambiguous.decode(reply.body.decode())
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return result if _text(result.reference) == reference else None


def classify(reply: Reply, reference: str, mask: Callable[[bytes | str], str]) -> Answer:
    """Say what an answer means for the money.

    Only an answer that names our reference means anything: without it, a success is as unknown as
    a refusal. A status that we have never heard of is unknown too.
    """
    raw = mask(reply.body)
    result = read_result(reply, reference)
    if result is None:
        return Unknown(f"not an answer about this topup: HTTP {reply.status}", raw)
    code, message = _text(result.code), result.message or ""
    match result.status.strip().lower():
        case "success":
            named = _text(result.transaction) or _text(result.vendor_transaction)
            return Delivered(provider_reference=storable(named)[:CODE_CHARS_MAX], raw=raw)
        case "fail" if _DOUBT.search(code) or _DOUBT.search(message):
            return Unknown("a refusal that does not exclude a payment", raw)
        case "fail":
            return Refused(
                reason=mask(message)[:REASON_CHARS_MAX],
                code=mask(code)[:CODE_CHARS_MAX],
                kind=CODES.get(code, "final"),
                raw=raw,
            )
        case _:
            return Unknown("a status that is neither success nor fail", raw)


def _text(value: str | int | None) -> str:
    return "" if value is None else str(value)
