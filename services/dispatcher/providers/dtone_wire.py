"""What DT One is told, and what its answers mean; no I/O.

All of it is at dvs-api-doc.dtone.com (Digital Value Services API, version 1.21).
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from services.dispatcher.providers.adapter import Answer, Kind, NotFound, Refused, Sale, Unknown
from services.dispatcher.providers.reading import (
    Mask,
    NotSold,
    deciding,
    delivered,
    leaves_doubt,
    plain,
    read,
    refused,
    text,
)
from shared.contracts.catalogue import OFFERS
from shared.web.client import Reply

OFFER: Final = OFFERS["DTONE"]
HTTP_OK: Final = 200
HTTP_NOT_FOUND: Final = 404
MADE: Final = (200, 201, 202)
REFUSALS: Final = range(400, 500)
"""A 5xx never is a definite no, whatever code it brings."""
REFERENCE_CHARS_MAX: Final = 40

CODES: Final[Mapping[int, Kind]] = {
    # "API Error Codes" on that page: those that say that no transaction was made. Left out, so
    # unknown: 1007001 (external ID used already), 1009001 and 1009503 (unexpected, unavailable).
    1000400: "final",  # bad request
    1003001: "final",  # product is not available in your account
    1003002: "final",  # requested product amount is out of range
    1003003: "final",  # requested product unit is invalid
    1005003: "number",  # credit party mobile number is invalid
    1007500: "final",  # method not supported by operator
    1000429: "retry",  # too many requests
    1000401: "hold",  # unauthorized
    1000404: "hold",  # resource not found: it is our address that is wrong
    1006001: "hold",  # insufficient balance
    1006009: "hold",  # account balance not found
}
NOT_FOUND: Final = 1008004
NO: Final = ("REJECTED", "DECLINED", "CANCELLED")
"""Classes: "both denote unsuccessful transactions", and what was held is given back."""
STATUSES: Final[Mapping[str, Kind]] = {
    # "Transaction Status" on that page; in these classes all others are final.
    "REJECTED-OPERATOR-CURRENTLY-UNAVAILABLE": "retry",
    "DECLINED-OPERATOR-CURRENTLY-UNAVAILABLE": "retry",
    "REJECTED-INSUFFICIENT-BALANCE": "hold",
    # The recipient's number is invalid or barred; -INELIGIBLE- is of the product alone: final.
    "REJECTED-INVALID-CREDIT-PARTY": "number",
    "REJECTED-BARRED-CREDIT-PARTY": "number",
    "DECLINED-INVALID-CREDIT-PARTY": "number",
    "DECLINED-BARRED-CREDIT-PARTY": "number",
}


class Party(msgspec.Struct, frozen=True):
    """Whom to credit, in E.164."""

    mobile_number: str


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """What arrives at the phone."""

    unit_type: str = "CURRENCY"
    unit: str
    amount: msgspec.Raw


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/sync/transactions` for a RANGED_VALUE_RECHARGE product, confirmed at once."""

    external_id: str
    product_id: int
    calculation_mode: str = "DESTINATION_AMOUNT"
    destination: Value
    auto_confirm: bool = True
    credit_party_identifier: Party


class StatusClass(msgspec.Struct, frozen=True):
    """What logic is to be built on, as that page recommends."""

    message: str


class Status(msgspec.Struct, frozen=True):
    """A status and the class it is of."""

    message: str
    of: StatusClass = msgspec.field(name="class")


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction as DT One shows it."""

    id: str | int
    external_id: str
    status: Status


class Error(msgspec.Struct, frozen=True):
    """One of the errors that come instead."""

    code: int
    message: str = ""


class Errors(msgspec.Struct, frozen=True):
    """What comes instead, with HTTP 4xx and 5xx."""

    errors: list[Error]


_transactions: Final = msgspec.json.Decoder(Transaction)
_lists: Final = msgspec.json.Decoder(list[Transaction])
_errors: Final = msgspec.json.Decoder(Errors)


def order_body(sale: Sale, product_id: int, reference: str) -> bytes:
    """Return the paying request's body.

    Raises:
        NotSold: this cannot be told to DT One at all.
    """
    product = next((product for product in OFFER.products if product.id == sale.product), None)
    if product is None or not product.takes(sale.amount_minor):
        raise NotSold("product and amount do not fit together")
    if (sale.country, sale.currency) != (OFFER.country, OFFER.currency):
        raise NotSold("country and currency do not fit together")
    if len(reference) > REFERENCE_CHARS_MAX:
        raise NotSold(f"the reference has over {REFERENCE_CHARS_MAX} characters")
    amount = msgspec.Raw(plain(sale.amount_minor, sale.currency).encode())
    return msgspec.json.encode(
        Order(
            external_id=reference,
            product_id=product_id,
            destination=Value(unit=sale.currency, amount=amount),
            credit_party_identifier=Party(sale.phone),
        )
    )


def classify(reply: Reply, reference: str, mask: Mask) -> Answer:
    """Say what the answer to the paying request means for the money."""
    transaction = read(_transactions, reply.body) if reply.status in MADE else None
    if transaction is not None and transaction.external_id == reference:
        return meaning(transaction, mask(reply.body), mask)
    refusal = _refusal(reply, mask)
    if refusal is not None:
        return refusal
    return Unknown(f"not an answer about this topup: HTTP {reply.status}", mask(reply.body))


def meaning(transaction: Transaction, raw: str, mask: Mask) -> Answer:
    """Say what a transaction means, by its class.

    CREATED, CONFIRMED and SUBMITTED are under way. REVERSED was paid and taken back by hand, "in
    very rare occasions": people look.
    """
    status, of = transaction.status.message, transaction.status.of.message
    if of == "COMPLETED":
        return delivered(text(transaction.id), raw)
    if of in NO and not leaves_doubt(status):
        return refused(status, status, STATUSES.get(status, "final"), raw=raw, mask=mask)
    return Unknown(f"the transaction is {mask(status)}"[:64], raw)


def weigh(reply: Reply, reference: str, mask: Mask) -> Answer:
    """Say what `GET /v1/transactions?external_id=` knows: one that was paid decides."""
    raw = mask(reply.body)
    if reply.status == HTTP_NOT_FOUND and [each.code for each in _errors_in(reply)] == [NOT_FOUND]:
        return NotFound(raw)
    listed = read(_lists, reply.body) if reply.status == HTTP_OK else None
    if listed is None:
        return Unknown(f"not a list of transactions: HTTP {reply.status}", raw)
    ours = [each for each in listed if each.external_id == reference]
    if not ours:
        return Unknown("a list of others' transactions", raw) if listed else NotFound(raw)
    meanings = [meaning(each, raw, mask) for each in ours]
    return deciding(meanings)


def _errors_in(reply: Reply) -> list[Error]:
    errors = read(_errors, reply.body) if reply.status in REFUSALS else None
    return errors.errors if errors is not None else []


def _refusal(reply: Reply, mask: Mask) -> Refused | None:
    """Return the definite no, if it is one: each of its codes must say so."""
    errors = _errors_in(reply)
    kinds = [CODES.get(each.code) for each in errors]
    if not errors or kinds[0] is None or None in kinds:
        return None
    if leaves_doubt(*(each.message for each in errors)):
        return None
    first, raw = errors[0], mask(reply.body)
    return refused(first.message, str(first.code), kinds[0], raw=raw, mask=mask)
