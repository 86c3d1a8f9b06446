"""The ASGI app: which of three wires a request is on, and what people ask beside them."""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from sandbox.book import Book
from sandbox.dtone import Dtone
from sandbox.exchange import Exchange, Receive, Scope, Send
from sandbox.faults import Faults
from sandbox.identity import Identity
from sandbox.latcom import Latcom
from sandbox.reloadly import Reloadly
from sandbox.settings import Settings

RELOADLY: Final = "/reloadly"
DTONE: Final = "/dtone"


class WalletTopUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /wallet`: what a …907 is paid from."""

    amount: Decimal


class Sandbox:
    """All that a request can reach."""

    def __init__(
        self, settings: Settings, book: Book, identity: Identity, *, now: Callable[[], float]
    ) -> None:
        self._book = book
        self._identity = identity
        self._faults = Faults()
        self._latcom = Latcom(settings, book, self._faults, now=now)
        self._reloadly = Reloadly(settings, book, self._faults, now=now)
        self._dtone = Dtone(settings, book, self._faults)
        self._routes: Final[Mapping[tuple[str, str], Callable[[Exchange], Awaitable[None]]]] = {
            ("POST", "/wallet"): self._top_up_wallet,
            ("POST", "/faults"): self._fail_next,
            ("GET", "/book"): self._show_book,
            ("GET", "/totals"): self._show_totals,
            ("GET", "/health"): self._show_health,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        path = exchange.path
        if await self._latcom.answer(exchange):
            return
        if path.startswith(f"{RELOADLY}/"):
            await self._reloadly.answer(exchange, path.removeprefix(RELOADLY))
        elif path.startswith(f"{DTONE}/"):
            await self._dtone.answer(exchange, path.removeprefix(DTONE))
        elif (route := self._routes.get((exchange.method, path))) is not None:
            await route(exchange)
        elif exchange.method == "GET" and path.startswith("/book/"):
            await self._show_entry(exchange, path.removeprefix("/book/"))
        else:
            await exchange.tell(404, {"message": "Not found"})

    async def _top_up_wallet(self, exchange: Exchange) -> None:
        try:
            wanted = msgspec.json.decode(await exchange.body(), type=WalletTopUp)
        except (msgspec.DecodeError, UnicodeError) as problem:
            await exchange.tell(400, {"message": f'{problem}; send {{"amount": 500}}'})
            return
        self._book.top_up_wallet(wanted.amount)
        await exchange.tell(200, {"wallet": self._book.wallet})

    async def _fail_next(self, exchange: Exchange) -> None:
        try:
            faults = msgspec.json.decode(await exchange.body(), type=Faults)
        except (msgspec.DecodeError, UnicodeError) as problem:
            await exchange.tell(400, {"message": f'{problem}; send {{"unauthorized": 1}}'})
            return
        if faults.revoke_tokens:
            self._latcom.tokens.revoke()
            self._reloadly.tokens.revoke()
        self._faults.unauthorized = faults.unauthorized
        self._faults.failing_logins = faults.failing_logins
        await exchange.tell(200, faults)

    async def _show_entry(self, exchange: Exchange, reference: str) -> None:
        known = reference in self._book.entries
        shown = {"reference": reference, **msgspec.structs.asdict(self._book.entry(reference))}
        await exchange.tell(200 if known else 404, shown)

    async def _show_book(self, exchange: Exchange) -> None:
        await exchange.tell(200, {**self._totals(), "references": self._book.entries})

    async def _show_totals(self, exchange: Exchange) -> None:
        await exchange.tell(200, self._totals())

    def _totals(self) -> dict[str, object]:
        entries = self._book.entries
        return {
            "asked": sum(entry.asked for entry in entries.values()),
            "paid": sum(entry.paid for entry in entries.values()),
            "paid_twice": [name for name, entry in entries.items() if entry.paid > 1],
            "amount": sum((entry.amount for entry in entries.values()), Decimal(0)),
            "at_once": self._book.at_once,
            "at_once_max": self._book.at_once_max,
            "logins": self._latcom.tokens.logins + self._reloadly.tokens.logins,
            "wallet": self._book.wallet,
        }

    async def _show_health(self, exchange: Exchange) -> None:
        await exchange.tell(200, self._identity.report())
