"""What Reloadly is told, and what its answers mean; no I/O.

Its OpenAPI is public (Reloadly/reloadly-api-documentation, openapi/paths/airtime-*.yaml), its
error codes are at docs.reloadly.com/airtime/airtime-errors/error-codes.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from services.dispatcher.providers.adapter import (
    Answer,
    Kind,
    NotFound,
    NotSent,
    Refused,
    Sale,
    Unknown,
)
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

OFFER: Final = OFFERS["RELOADLY"]
HTTP_OK: Final = 200
REFUSALS: Final = range(400, 500)
"""A 5xx never is a definite no, whatever code it brings."""

CODES: Final[Mapping[str, Kind]] = {
    # The published error codes whose words exclude a payment. Left out on purpose, so unknown:
    # TOPUP_TRANSACTION_FAILED and TRANSACTION_CANNOT_BE_PROCESSED_AT_THE_MOMENT ("may fail for
    # various reasons; contact support"), and CUSTOM_IDENTIFIER_ALREADY_USED, which is in no list:
    # top-ups/TopUpsRequest.yaml says only that a used reference cannot be used again.
    "COUNTRY_NOT_SUPPORTED": "final",
    "COULD_NOT_AUTO_DETECT_OPERATOR": "final",
    "INVALID_AMOUNT": "final",
    "INVALID_AMOUNT_FOR_OPERATOR": "final",
    "INVALID_PHONE_NUMBER": "number",  # "the specified phone number is not valid"
    "INVALID_RECIPIENT_PHONE": "number",  # "is not valid for the specified country"
    "OPERATOR_NOT_IN_SERVICE": "retry",
    "OPERATOR_UNAVAILABLE_OR_CURRENTLY_INACTIVE": "retry",
    "PHONE_RECENTLY_RECHARGED": "retry",  # "a delay of 2 minutes has to take place"
    "RATE_LIMIT_REACHED": "retry",
    "ACCOUNT_NOT_FOUND": "hold",
    "INACTIVE_ACCOUNT": "hold",
    "INSUFFICIENT_BALANCE": "hold",
    "MAX_DAILY_TRANSACTION_AMOUNT_REACHED": "hold",
    "MAX_DAILY_TRANSACTION_COUNT_REACHED": "hold",
    "NOT_AUTHORIZED": "hold",
}
FAILED: Final = ("REFUNDED", "FAILED")
"""docs.reloadly.com/airtime/top-ups/top-up: not processed, and what was debited is refunded. FAILED
is in the status enum of the official SDK alone (Reloadly/reloadly-sdk-java)."""


class Phone(msgspec.Struct, frozen=True, rename="camel"):
    """Whom to credit; the number may have its `+`."""

    country_code: str
    number: str


class TopUp(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`POST /topups`; with `useLocalAmount` the amount is in the operator's own currency."""

    operator_id: int
    amount: msgspec.Raw
    use_local_amount: bool = True
    custom_identifier: str
    recipient_phone: Phone


class Operator(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /operators/auto-detect/phone/{phone}/countries/{iso}`: whose phone it is."""

    operator_id: int
    name: str = ""
    bundle: bool | None = None
    data: bool | None = None
    pin: bool | None = None
    supports_local_amounts: bool | None = None
    denomination_type: str = ""
    destination_currency_code: str = ""
    local_min_amount: Decimal | None = None
    local_max_amount: Decimal | None = None
    local_fixed_amounts: list[Decimal] | None = None

    def takes(self, amount: Decimal, currency: str) -> bool:
        """Tell whether it sells airtime for this amount in the phone's own currency."""
        if self.bundle or self.data or self.pin or not self.supports_local_amounts:
            return False
        if self.destination_currency_code != currency:
            return False
        if self.denomination_type == "FIXED":
            return amount in (self.local_fixed_amounts or [])
        low, high = self.local_min_amount, self.local_max_amount
        return low is not None and high is not None and low <= amount <= high


class Transaction(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A top-up as Reloadly shows it: at once, in its report, and under its own id."""

    transaction_id: str | int
    status: str | None = None
    custom_identifier: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of `GET /topups/reports/transactions`."""

    content: list[Transaction]
    total_elements: int | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /topups/{transactionId}/status`, as the official SDK reads it."""

    status: str | None = None
    transaction: Transaction | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What comes instead, with HTTP 4xx and 5xx."""

    error_code: str
    message: str | None = None


_operators: Final = msgspec.json.Decoder(Operator)
_transactions: Final = msgspec.json.Decoder(Transaction)
_reports: Final = msgspec.json.Decoder(Report)
_statuses: Final = msgspec.json.Decoder(Status)
_problems: Final = msgspec.json.Decoder(Problem)


def check_sold(sale: Sale) -> None:
    """See that this can be told to Reloadly at all.

    Raises:
        NotSold: it cannot.
    """
    product = next((product for product in OFFER.products if product.id == sale.product), None)
    if product is None or not product.takes(sale.amount_minor):
        raise NotSold("product and amount do not fit together")
    if (sale.country, sale.currency) != (OFFER.country, OFFER.currency):
        raise NotSold("country and currency do not fit together")


def topup_body(sale: Sale, operator: Operator, reference: str) -> bytes:
    """Return the paying request's body.

    Raises:
        NotSold: the phone's operator does not take this amount.
    """
    amount = plain(sale.amount_minor, sale.currency)
    if not operator.takes(Decimal(amount), sale.currency):
        raise NotSold("the phone's operator does not sell airtime for this amount")
    return msgspec.json.encode(
        TopUp(
            operator_id=operator.operator_id,
            amount=msgspec.Raw(amount.encode()),
            custom_identifier=reference,
            recipient_phone=Phone(sale.country, sale.phone),
        )
    )


def read_operator(reply: Reply, mask: Mask) -> Operator | Refused | NotSent:
    """Return whose phone it is; nothing was paid by asking."""
    operator = read(_operators, reply.body) if reply.status == HTTP_OK else None
    if operator is not None:
        return operator
    return _refusal(reply, mask) or NotSent(f"the operator is not known: HTTP {reply.status}")


def classify(reply: Reply, reference: str, mask: Mask) -> Answer:
    """Say what the answer to `POST /topups` means for the money."""
    transaction = read(_transactions, reply.body) if reply.status == HTTP_OK else None
    if transaction is not None and transaction.custom_identifier == reference:
        return meaning(transaction, mask(reply.body), mask)
    refusal = _refusal(reply, mask)
    if refusal is not None:
        return refusal
    return Unknown(f"not an answer about this topup: HTTP {reply.status}", mask(reply.body))


def meaning(transaction: Transaction, raw: str, mask: Mask) -> Answer:
    """Say what a transaction means; PROCESSING, or a status never heard of, is unknown."""
    match transaction.status:
        case "SUCCESSFUL":
            return delivered(text(transaction.transaction_id), raw)
        case str(status) if status in FAILED:
            return refused(f"the top-up is {status}", status, "final", raw=raw, mask=mask)
        case status:
            return Unknown(f"the top-up is {status or 'of no status'}"[:64], raw)


def found(reply: Reply, reference: str) -> list[Transaction] | None:
    """Return what the report has under exactly this reference; None: it is no whole report."""
    report = read(_reports, reply.body) if reply.status == HTTP_OK else None
    if report is None:
        return None
    ours = [row for row in report.content if row.custom_identifier == reference]
    more = (report.total_elements or 0) > len(report.content)
    return ours if ours or not more else None


def read_status(reply: Reply, transaction: Transaction) -> Transaction | None:
    """Return the transaction with its status, if this is surely about it."""
    status = read(_statuses, reply.body) if reply.status == HTTP_OK else None
    if status is None or status.transaction is None:
        return None
    if text(status.transaction.transaction_id) != text(transaction.transaction_id):
        return None
    return msgspec.structs.replace(transaction, status=status.status or status.transaction.status)


def weigh(transactions: list[Transaction], raw: str, mask: Mask) -> Answer:
    """Say what all that went out under one reference means: one that was paid decides."""
    if not transactions:
        return NotFound(raw)
    meanings = [meaning(transaction, raw, mask) for transaction in transactions]
    return deciding(meanings)


def _refusal(reply: Reply, mask: Mask) -> Refused | None:
    """Return the definite no, if it is one: by Reloadly's own code, and in no doubtful words."""
    problem = read(_problems, reply.body) if reply.status in REFUSALS else None
    kind = CODES.get(problem.error_code) if problem is not None else None
    if problem is None or kind is None or leaves_doubt(problem.message or ""):
        return None
    reason, code = problem.message or "", problem.error_code
    return refused(reason, code, kind, raw=mask(reply.body), mask=mask)
