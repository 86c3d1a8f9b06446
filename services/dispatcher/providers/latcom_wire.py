"""What LATCOM is told, and what its answers mean; no I/O."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

import msgspec

from services.dispatcher.providers.adapter import Answer, Sale, Unknown
from services.dispatcher.providers.reading import (
    Mask,
    NotSold,
    delivered,
    leaves_doubt,
    plain,
    read,
    refused,
    text,
)
from shared.contracts.catalogue import OFFERS, Product
from shared.web.client import Reply

OFFER: Final = OFFERS["LATCOM"]
COUNTRIES: Final = {"MX": "MEXICO"}
OPERATOR: Final = "TELEFONICA"
HTTP_OK: Final = 200
AMOUNTS_MAX: Final = 1_024

CODES: Final[Mapping[str, Literal["retry", "hold"]]] = {
    # LATCOM publishes no codes: a row comes with where it was seen. All others are final. None is
    # known to say that the number itself is wrong, so after each another provider may be asked.
    "SBX_TRY_AGAIN": "retry",  # the sandbox, phones …902
    "SBX_WALLET_EMPTY": "hold",  # the sandbox, phones …907
}

_PHONE: Final = re.compile(r"\+52([0-9]{10})")


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


_results: Final = msgspec.json.Decoder(Result)


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


@lru_cache(maxsize=AMOUNTS_MAX)
def wire_amount(product: Product, amount_minor: int, currency: str) -> str:
    """Return the amount without the tax inside it, as a JSON number; half a cent goes up."""
    return plain(product.without_tax(amount_minor), currency)


def read_result(reply: Reply, reference: str) -> Result | None:
    """Return the answer if it is surely one, and surely about this reference."""
    result = read(_results, reply.body) if reply.status == HTTP_OK else None
    return result if result is not None and text(result.reference) == reference else None


def classify(reply: Reply, reference: str, mask: Mask) -> Answer:
    """Say what an answer means for the money.

    Only an answer that names our reference means anything: without it, a success is as unknown as
    a refusal. A status that we have never heard of is unknown too.
    """
    raw = mask(reply.body)
    result = read_result(reply, reference)
    if result is None:
        return Unknown(f"not an answer about this topup: HTTP {reply.status}", raw)
    code, message = text(result.code), result.message or ""
    match result.status.strip().lower():
        case "success":
            return delivered(text(result.transaction) or text(result.vendor_transaction), raw)
        case "fail" if leaves_doubt(code, message):
            return Unknown("a refusal that does not exclude a payment", raw)
        case "fail":
            return refused(message, code, CODES.get(code, "final"), raw=raw, mask=mask)
        case _:
            return Unknown("a status that is neither success nor fail", raw)
