"""Reloadly's wire: a token for an audience, whose phone it is, top-ups, and their report."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from sandbox.book import Book
from sandbox.endings import NOT_SOLD, REFUSED, TRY_AGAIN, WALLET_EMPTY
from sandbox.exchange import RUBBISH, Exchange
from sandbox.faults import Faults
from sandbox.settings import Settings
from sandbox.till import Answer, Order, Till
from sandbox.tokens import Tokens

VERSION: Final = "application/com.reloadly.topups-v1+json"
DETECT: Final = re.compile(r"/operators/auto-detect/phone/([^/]+)/countries/([A-Z]{2})")
STATUS: Final = re.compile(r"/topups/([0-9]+)/status")
PHONE: Final = re.compile(r"\+?52[0-9]{10}")
OPERATOR: Final = 9_001
LOW, HIGH = Decimal(10), Decimal(2_000)

# Each of the till's refusals in Reloadly's own words.
CODES: Final[Mapping[str, tuple[int, str]]] = {
    REFUSED.code: (400, "INVALID_RECIPIENT_PHONE"),
    TRY_AGAIN.code: (400, "OPERATOR_NOT_IN_SERVICE"),
    WALLET_EMPTY.code: (400, "INSUFFICIENT_BALANCE"),
    NOT_SOLD.code: (400, "INVALID_AMOUNT_FOR_OPERATOR"),
}


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /oauth/token`."""

    client_id: str
    client_secret: str
    grant_type: str
    audience: str


class Phone(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Whom to credit."""

    country_code: str
    number: str


class TopUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`POST /topups`."""

    operator_id: int
    amount: Decimal
    custom_identifier: str
    recipient_phone: Phone
    use_local_amount: bool = False


class Reloadly:
    """What a request on this wire reaches; `path` is what follows the prefix."""

    def __init__(
        self, settings: Settings, book: Book, faults: Faults, *, now: Callable[[], float]
    ) -> None:
        self._book = book
        self._faults = faults
        self._access = settings.access
        self.tokens = Tokens(life_s=settings.token_life_ms / 1_000, now=now)
        self._till = Till(
            book, latency_ms=settings.latency_ms, timeout_ms=settings.reloadly_timeout_ms
        )
        self._orders: Final = msgspec.json.Decoder(TopUp)
        self._logins: Final = msgspec.json.Decoder(Login)

    async def answer(self, exchange: Exchange, path: str) -> None:
        """Answer one request."""
        if (exchange.method, path) == ("POST", "/oauth/token"):
            await self._login(exchange)
            return
        body = await exchange.body()
        ordered = (exchange.method, path) == ("POST", "/topups")
        turned_away = ordered and self._faults.turns_order_away()
        if turned_away or not self.tokens.is_good(exchange.header(b"authorization")):
            await _refuse(exchange, 401, "INVALID_TOKEN", "Full authentication is required")
        elif exchange.header(b"accept") != VERSION:
            await _refuse(exchange, 406, "MEDIA_TYPE_NOT_ACCEPTABLE", f"Accept {VERSION}")
        elif ordered:
            await self._sell(exchange, body)
        elif exchange.method == "GET":
            await self._show(exchange, path)
        else:
            await exchange.tell(404, {"status": 404, "error": "Not Found", "path": path})

    async def _login(self, exchange: Exchange) -> None:
        body = await exchange.body()
        if self._faults.fails_login():
            await _refuse(exchange, 503, "SERVICE_UNAVAILABLE", "Service unavailable")
            return
        try:
            login = self._logins.decode(body)
        except (msgspec.DecodeError, UnicodeError):
            await _refuse(exchange, 400, "INVALID_REQUEST", "Bad request")
            return
        wanted = self._access
        token = self.tokens.login(
            (
                (wanted.client_id, login.client_id),
                (wanted.client_secret, login.client_secret),
                ("client_credentials", login.grant_type),
            )
        )
        if token is None or not login.audience.startswith("http"):
            await _refuse(exchange, 401, "INVALID_CREDENTIALS", "Access Denied")
            return
        lives = max(round(self.tokens.life_s), 1)
        await exchange.tell(
            200,
            {"access_token": token, "scope": "send-topups", "expires_in": lives}
            | {"token_type": "Bearer"},
        )

    async def _sell(self, exchange: Exchange, body: bytes) -> None:
        try:
            order = self._orders.decode(body)
        except (msgspec.DecodeError, UnicodeError):
            await _refuse(exchange, 400, "INVALID_REQUEST", "Bad request")
            return
        # A reference is used once its top-up was made: two at once may both be.
        done = self._book.transactions.get(order.custom_identifier)
        if done is not None and not done.code:
            await _refuse(exchange, 400, "CUSTOM_IDENTIFIER_ALREADY_USED", "Already used")
            return
        phone, sold = order.recipient_phone, LOW <= order.amount <= HIGH
        answer = await self._till.sell(
            Order(
                reference=order.custom_identifier,
                phone=phone.number,
                amount=order.amount,
                is_sold=sold
                and order.use_local_amount
                and order.operator_id == OPERATOR
                and phone.country_code == "MX"
                and PHONE.fullmatch(phone.number) is not None,
            )
        )
        await _tell(exchange, order, answer)

    async def _show(self, exchange: Exchange, path: str) -> None:
        if (detect := DETECT.fullmatch(path)) is not None:
            await _show_operator(exchange, detect[1], detect[2])
        elif path == "/topups/reports/transactions":
            rows = self._rows(exchange.query("customIdentifier"))
            await exchange.tell(200, {"content": rows, "totalElements": len(rows)})
        elif (status := STATUS.fullmatch(path)) is not None:
            rows = [row for row in self._all_rows() if str(row["transactionId"]) == status[1]]
            shown = {"code": None, "message": None, "transaction": rows[0] if rows else None}
            state = rows[0]["status"] if rows else None
            await exchange.tell(200 if rows else 404, shown | {"status": state})
        else:
            await exchange.tell(404, {"status": 404, "error": "Not Found", "path": path})

    def _rows(self, reference: str) -> list[dict[str, Any]]:
        """Return what the report has: a refusal made no transaction."""
        self._book.inquired(reference)
        done = self._book.transactions.get(reference)
        if done is not None and not done.code:
            return [_row(reference, done.id, "SUCCESSFUL", done.amount)]
        if self._book.running[reference]:
            return [_row(reference, "1", "PROCESSING", Decimal(0))]
        return []

    def _all_rows(self) -> list[dict[str, Any]]:
        return [
            _row(reference, done.id, "SUCCESSFUL", done.amount)
            for reference, done in self._book.transactions.items()
            if not done.code
        ]


async def _show_operator(exchange: Exchange, phone: str, country: str) -> None:
    if PHONE.fullmatch(phone) is None or country != "MX":
        await _refuse(exchange, 404, "COULD_NOT_AUTO_DETECT_OPERATOR", "No operator")
        return
    await exchange.tell(
        200,
        {
            "operatorId": OPERATOR,
            "name": "Sandbox Mexico",
            "bundle": False,
            "data": False,
            "pin": False,
            "supportsLocalAmounts": True,
            "denominationType": "RANGE",
            "senderCurrencyCode": "USD",
            "destinationCurrencyCode": "MXN",
            "localMinAmount": LOW,
            "localMaxAmount": HIGH,
            "localFixedAmounts": [],
            "country": {"isoName": "MX", "name": "Mexico"},
        },
    )


def _row(reference: str, transaction: str, status: str, amount: Decimal) -> dict[str, Any]:
    return {
        "transactionId": int(transaction),
        "status": status,
        "operatorTransactionId": None,
        "customIdentifier": reference,
        "operatorId": OPERATOR,
        "deliveredAmount": amount,
        "deliveredAmountCurrencyCode": "MXN",
    }


async def _tell(exchange: Exchange, order: TopUp, answer: Answer) -> None:
    match answer.how:
        case "error":
            await _refuse(exchange, 500, "INTERNAL_SERVER_ERROR", "An error has occurred")
        case "rubbish":
            await exchange.write(200, RUBBISH)
        case "cut":
            await exchange.cut()
        case "nameless":
            await _refuse(exchange, 400, "SBX_NOBODY", "Try again later")
        case "told" if answer.refusal is None:
            reference = order.custom_identifier
            row = _row(reference, answer.transaction, "SUCCESSFUL", order.amount)
            await exchange.tell(200, row | {"recipientPhone": order.recipient_phone.number})
        case "told":
            status, code = CODES[answer.refusal.code]
            await _refuse(exchange, status, code, answer.refusal.message)


async def _refuse(exchange: Exchange, status: int, code: str, message: str) -> None:
    body = {"timeStamp": "2026-01-01 00:00:00", "message": message, "path": "/topups"}
    await exchange.tell(status, body | {"errorCode": code, "infoLink": None, "details": []})
