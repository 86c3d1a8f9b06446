"""The ASGI app: which request goes where. Raw ASGI, for thousands of calls a second."""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from sandbox.book import Book
from sandbox.identity import Identity
from sandbox.settings import Settings
from sandbox.till import Answer, Till
from sandbox.tokens import Tokens
from sandbox.wire import Login, Order

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

BODY_BYTES_MAX: Final = 64 * 1024
RUBBISH: Final = b"<html><body>Gateway \xff\xfe says: {status: maybe"
TRANSPORT: Final = "transport"
"""Where in the scope's state the connection lies, for cutting it."""


class WalletTopUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /wallet`: what a …907 is paid from."""

    amount: Decimal


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /faults`: what should go wrong next, once or so many times."""

    revoke_tokens: bool = False
    unauthorized: int = 0  # orders answered 401, whatever their token
    failing_logins: int = 0  # logins answered 503


class Sandbox:
    """All that a request can reach."""

    def __init__(self, settings: Settings, book: Book, tokens: Tokens, identity: Identity) -> None:
        self._book = book
        self._tokens = tokens
        self._identity = identity
        self._till = Till(book, settings)
        self._inquiry = settings.inquiry
        self._unauthorized = 0
        self._failing_logins = 0
        self._encode: Final = msgspec.json.Encoder(decimal_format="number").encode
        self._orders: Final = msgspec.json.Decoder(Order)
        self._routes: Final[Mapping[tuple[str, str], Callable[..., Awaitable[None]]]] = {
            ("POST", "/api/tn/fast"): self._sell,
            ("POST", "/api/dislogin"): self._login,
            ("POST", "/wallet"): self._top_up_wallet,
            ("POST", "/faults"): self._fail_next,
            ("GET", "/book"): self._show_book,
            ("GET", "/totals"): self._show_totals,
            ("GET", "/health"): self._show_health,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method, path = scope["method"], scope["path"]
        route = self._routes.get((method, path))
        if route is not None:
            await route(scope, receive, send)
        elif method == "GET" and path.startswith("/book/"):
            await self._show_entry(path.removeprefix("/book/"), send)
        elif self._inquiry and method == "GET" and path.startswith("/api/tn/status/"):
            await self._show_status(scope, path.removeprefix("/api/tn/status/"), send)
        else:
            await _json(send, 404, b'{"message":"Not found"}')

    # -- LATCOM's wire -------------------------------------------------------------------------

    async def _login(self, _scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if self._failing_logins:
            self._failing_logins -= 1
            await _json(send, 503, b'{"message":"Service unavailable"}')
            return
        try:
            token = self._tokens.login(msgspec.json.decode(body, type=Login))
        except (msgspec.DecodeError, UnicodeError):
            await _json(send, 400, b'{"message":"Bad request"}')
            return
        if token is None:
            await _json(send, 401, b'{"message":"Invalid credentials"}')
        else:
            await _json(send, 200, self._encode({"access": token}))

    async def _sell(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if self._unauthorized:
            self._unauthorized -= 1
            await _json(send, 401, b'{"message":"Unauthorized"}')
            return
        if not self._is_authorized(scope):
            await _json(send, 401, b'{"message":"Unauthorized"}')
            return
        try:
            order = self._orders.decode(body)
        except (msgspec.DecodeError, UnicodeError):
            order = None
        if order is None or not order.is_well_formed():
            await _json(send, 400, b'{"message":"Bad request"}')
            return
        await self._tell(await self._till.sell(order), scope, receive, send)

    async def _show_status(self, scope: Scope, reference: str, send: Send) -> None:
        if not self._is_authorized(scope):
            await _json(send, 401, b'{"message":"Unauthorized"}')
            return
        await _json(send, 200, self._encode(self._till.status(reference)))

    async def _tell(self, answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
        match answer.how:
            case "told":
                await _json(send, 200, self._encode(answer.result))
            case "error":
                await _json(send, 500, b'{"message":"Internal server error"}')
            case "rubbish":
                await _json(send, 200, RUBBISH)
            case "cut":
                scope["state"][TRANSPORT].abort()
                while (await receive())["type"] != "http.disconnect":
                    pass

    def _is_authorized(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name == b"authorization":
                return self._tokens.is_good(value.decode("latin-1"))
        return False

    # -- for tests and people ------------------------------------------------------------------

    async def _top_up_wallet(self, _scope: Scope, receive: Receive, send: Send) -> None:
        try:
            wanted = msgspec.json.decode(await _body(receive), type=WalletTopUp)
        except (msgspec.DecodeError, UnicodeError) as problem:
            await _json(send, 400, self._encode({"message": f'{problem}; send {{"amount": 500}}'}))
            return
        self._book.top_up_wallet(wanted.amount)
        await _json(send, 200, self._encode({"wallet": self._book.wallet}))

    async def _fail_next(self, _scope: Scope, receive: Receive, send: Send) -> None:
        try:
            faults = msgspec.json.decode(await _body(receive), type=Faults)
        except (msgspec.DecodeError, UnicodeError) as problem:
            await _json(
                send, 400, self._encode({"message": f'{problem}; send {{"unauthorized": 1}}'})
            )
            return
        if faults.revoke_tokens:
            self._tokens.revoke()
        self._unauthorized, self._failing_logins = faults.unauthorized, faults.failing_logins
        await _json(send, 200, self._encode(faults))

    async def _show_entry(self, reference: str, send: Send) -> None:
        known = reference in self._book.entries
        shown = {"reference": reference, **msgspec.structs.asdict(self._book.entry(reference))}
        await _json(send, 200 if known else 404, self._encode(shown))

    async def _show_book(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await _json(send, 200, self._encode({**self._totals(), "references": self._book.entries}))

    async def _show_totals(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await _json(send, 200, self._encode(self._totals()))

    def _totals(self) -> dict[str, object]:
        entries = self._book.entries
        return {
            "asked": sum(entry.asked for entry in entries.values()),
            "paid": sum(entry.paid for entry in entries.values()),
            "paid_twice": [name for name, entry in entries.items() if entry.paid > 1],
            "amount": sum((entry.amount for entry in entries.values()), Decimal(0)),
            "at_once": self._book.at_once,
            "at_once_max": self._book.at_once_max,
            "logins": self._tokens.logins,
            "wallet": self._book.wallet,
        }

    async def _show_health(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await _json(send, 200, self._encode(self._identity.report()))


async def _body(receive: Receive) -> bytes:
    """Return the body, cut off where no honest one ends."""
    parts: list[bytes] = []
    size = 0
    more = True
    while more and size <= BODY_BYTES_MAX:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
    return b"".join(parts)


async def _json(send: Send, status: int, body: bytes) -> None:
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
