"""DT One's wire: keys in each request, transactions that are declined, and a list of them."""

import base64
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from sandbox.book import Book, Transaction
from sandbox.endings import NOT_SOLD, REFUSED, TRY_AGAIN, WALLET_EMPTY
from sandbox.exchange import RUBBISH, Exchange
from sandbox.faults import Faults
from sandbox.settings import Settings
from sandbox.till import Answer, Order, Till
from sandbox.tokens import all_same

PHONE: Final = re.compile(r"\+52[0-9]{10}")
REFERENCE_CHARS_MAX: Final = 40
LOW, HIGH = Decimal(10), Decimal(2_000)
CLASSES: Final = {"CONFIRMED": 2, "SUBMITTED": 5, "COMPLETED": 7, "DECLINED": 9}

# The till's refusals that are a transaction's end here, and those that make none.
DECLINED: Final[Mapping[str, str]] = {
    REFUSED.code: "DECLINED-INVALID-CREDIT-PARTY",
    TRY_AGAIN.code: "DECLINED-OPERATOR-CURRENTLY-UNAVAILABLE",
}
ERRORS: Final[Mapping[str, int]] = {WALLET_EMPTY.code: 1006001, NOT_SOLD.code: 1003002}


class Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to credit."""

    mobile_number: str


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to arrive."""

    unit_type: str
    unit: str
    amount: Decimal


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/sync/transactions`."""

    external_id: str
    product_id: int
    credit_party_identifier: Party
    calculation_mode: str
    destination: Value
    auto_confirm: bool = False

    def is_well_formed(self) -> bool:
        """Tell whether this is an order at all."""
        return (
            0 < len(self.external_id) <= REFERENCE_CHARS_MAX
            and PHONE.fullmatch(self.credit_party_identifier.mobile_number) is not None
            and self.calculation_mode == "DESTINATION_AMOUNT"
            and (self.destination.unit_type, self.destination.unit) == ("CURRENCY", "MXN")
            and self.auto_confirm  # else it would wait to be confirmed
        )


class Dtone:
    """What a request on this wire reaches; `path` is what follows the prefix."""

    def __init__(self, settings: Settings, book: Book, faults: Faults) -> None:
        self._book = book
        self._faults = faults
        self._access = settings.access
        self._till = Till(
            book, latency_ms=settings.latency_ms, timeout_ms=settings.dtone_timeout_ms
        )
        self._orders: Final = msgspec.json.Decoder(Wanted)

    async def answer(self, exchange: Exchange, path: str) -> None:
        """Answer one request."""
        body = await exchange.body()
        ordered = (exchange.method, path) == ("POST", "/v1/sync/transactions")
        turned_away = ordered and self._faults.turns_order_away()
        if turned_away or not self._is_authorized(exchange.header(b"authorization")):
            await _refuse(exchange, 401, 1000401, "Unauthorized")
        elif ordered:
            await self._sell(exchange, body)
        elif (exchange.method, path) == ("GET", "/v1/transactions"):
            await self._show(exchange, exchange.query("external_id"))
        else:
            await _refuse(exchange, 404, 1000404, "Resource not found")

    def _is_authorized(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        try:
            key, _, secret = base64.b64decode(token, validate=True).decode().partition(":")
        except ValueError:
            return False
        wanted = self._access
        same = all_same(((wanted.api_key, key), (wanted.api_secret, secret)))
        return scheme == "Basic" and same

    async def _sell(self, exchange: Exchange, body: bytes) -> None:
        try:
            order = self._orders.decode(body)
        except (msgspec.DecodeError, UnicodeError):
            order = None
        if order is None or not order.is_well_formed():
            await _refuse(exchange, 400, 1000400, "Bad request")
        elif self._access.product_id not in (None, str(order.product_id)):
            await _refuse(exchange, 404, 1003001, "Product is not available in your account")
        elif self._is_used(order.external_id):
            message = "Transaction external ID has already been used"
            await _refuse(exchange, 400, 1007001, message)
        else:
            answer = await self._till.sell(
                Order(
                    reference=order.external_id,
                    phone=order.credit_party_identifier.mobile_number,
                    amount=order.destination.amount,
                    is_sold=LOW <= order.destination.amount <= HIGH,
                )
            )
            await _tell(exchange, order.external_id, answer)

    def _is_used(self, reference: str) -> bool:
        """Tell whether a transaction was made: also one that is under way, or was declined."""
        done = self._book.transactions.get(reference)
        made = done is not None and done.code not in ERRORS
        return made or self._book.running[reference] > 0

    async def _show(self, exchange: Exchange, reference: str) -> None:
        self._book.inquired(reference)
        done = self._book.transactions.get(reference)
        if done is not None and done.code not in ERRORS:
            await exchange.tell(200, [_shown(reference, done)])
        elif self._book.running[reference]:
            await exchange.tell(200, [_transaction(reference, "1", "SUBMITTED")])
        else:
            await _refuse(exchange, 404, 1008004, "Transaction not found")


def _shown(reference: str, done: Transaction) -> dict[str, Any]:
    return _transaction(reference, done.id, DECLINED.get(done.code, "COMPLETED"))


def _transaction(reference: str, transaction: str, status: str) -> dict[str, Any]:
    of = status.partition("-")[0]
    return {
        "id": int(transaction),
        "external_id": reference,
        "status": {
            "id": CLASSES[of] * 10_000,
            "message": status,
            "class": {"id": CLASSES[of], "message": of},
        },
        "operator_reference": None,
    }


async def _tell(exchange: Exchange, reference: str, answer: Answer) -> None:
    match answer.how:
        case "error":
            await _refuse(exchange, 500, 1009001, "Unexpected error, please contact our support")
        case "rubbish":
            await exchange.write(200, RUBBISH)
        case "cut":
            await exchange.cut()
        case "nameless":
            await _refuse(exchange, 400, 1999999, "Try again later")
        case "told" if answer.refusal is None:
            await exchange.tell(201, _transaction(reference, answer.transaction, "COMPLETED"))
        case "told" if answer.refusal.code in ERRORS:
            await _refuse(exchange, 400, ERRORS[answer.refusal.code], answer.refusal.message)
        case "told":
            status = DECLINED[answer.refusal.code]
            await exchange.tell(201, _transaction(reference, answer.transaction, status))


async def _refuse(exchange: Exchange, status: int, code: int, message: str) -> None:
    await exchange.tell(status, {"errors": [{"code": code, "message": message}]})
