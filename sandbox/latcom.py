"""LATCOM's wire: a login that brings a token, and orders answered with HTTP 200 either way."""

from collections.abc import Callable
from typing import Final

import msgspec

from sandbox.book import Book
from sandbox.exchange import RUBBISH, Exchange
from sandbox.faults import Faults
from sandbox.latcom_wire import Login, Order, Result, fail, success
from sandbox.settings import Settings
from sandbox.till import Answer, Till
from sandbox.till import Order as TillOrder
from sandbox.tokens import Tokens

STATUS: Final = "/api/tn/status/"


class Latcom:
    """What a request on this wire reaches; asked and deduped only where it is told to."""

    def __init__(
        self, settings: Settings, book: Book, faults: Faults, *, now: Callable[[], float]
    ) -> None:
        self._book = book
        self._faults = faults
        self._access = settings.access
        self._inquiry = settings.inquiry
        self.tokens = Tokens(life_s=settings.token_life_ms / 1_000, now=now)
        self._till = Till(
            book,
            latency_ms=settings.latency_ms,
            timeout_ms=settings.latcom_timeout_ms,
            dedupes=settings.dedupes,
        )
        self._orders: Final = msgspec.json.Decoder(Order)
        self._logins: Final = msgspec.json.Decoder(Login)

    async def answer(self, exchange: Exchange) -> bool:
        """Answer one request, if it is one of this wire's."""
        match exchange.method, exchange.path:
            case "POST", "/api/tn/fast":
                await self._sell(exchange)
            case "POST", "/api/dislogin":
                await self._login(exchange)
            case "GET", path if self._inquiry and path.startswith(STATUS):
                await self._show_status(exchange, path.removeprefix(STATUS))
            case _:
                return False
        return True

    async def _login(self, exchange: Exchange) -> None:
        body = await exchange.body()
        if self._faults.fails_login():
            await exchange.tell(503, {"message": "Service unavailable"})
            return
        try:
            login = self._logins.decode(body)
        except (msgspec.DecodeError, UnicodeError):
            await exchange.tell(400, {"message": "Bad request"})
            return
        wanted = self._access
        token = self.tokens.login(
            (
                (wanted.username, login.username),
                (wanted.password, login.password),
                (wanted.dist_api, login.dist_api),
                (wanted.user_uid, login.user_uid),
            )
        )
        if token is None:
            await exchange.tell(401, {"message": "Invalid credentials"})
        else:
            await exchange.tell(200, {"access": token})

    async def _sell(self, exchange: Exchange) -> None:
        body = await exchange.body()
        if self._faults.turns_order_away() or not self._is_authorized(exchange):
            await exchange.tell(401, {"message": "Unauthorized"})
            return
        try:
            order = self._orders.decode(body)
        except (msgspec.DecodeError, UnicodeError):
            order = None
        if order is None or not order.is_well_formed():
            await exchange.tell(400, {"message": "Bad request"})
            return
        answer = await self._till.sell(
            TillOrder(
                reference=order.dist_transid,
                phone=order.target_msisdn,
                amount=order.amount,
                is_sold=order.is_sold(),
            )
        )
        await _tell(exchange, order.dist_transid, answer)

    async def _show_status(self, exchange: Exchange, reference: str) -> None:
        if not self._is_authorized(exchange):
            await exchange.tell(401, {"message": "Unauthorized"})
            return
        await exchange.tell(200, self._status(reference))

    def _status(self, reference: str) -> Result:
        """Say what became of a reference."""
        self._book.inquired(reference)
        entry = self._book.entry(reference)
        if entry.paid:
            return success(reference, entry.transaction)
        if entry.running:
            return Result(status="Pending", reference=reference)
        if entry.refused:
            return fail(reference, entry.code, entry.message)
        return Result(status="NotFound", reference=reference)

    def _is_authorized(self, exchange: Exchange) -> bool:
        return self.tokens.is_good(exchange.header(b"authorization"))


async def _tell(exchange: Exchange, reference: str, answer: Answer) -> None:
    match answer.how:
        case "error":
            await exchange.tell(500, {"message": "Internal server error"})
        case "rubbish":
            await exchange.write(200, RUBBISH)
        case "cut":
            await exchange.cut()
        case "nameless":
            await exchange.tell(200, fail("", "SBX_NOBODY", "Try again later"))
        case "told" if answer.refusal is None:
            await exchange.tell(200, success(reference, answer.transaction))
        case "told":
            refusal = answer.refusal
            await exchange.tell(200, fail(reference, refusal.code, refusal.message))
