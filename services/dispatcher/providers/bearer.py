"""Calls that carry a bearer token: one that is taken no longer is renewed once."""

from typing import Final

from yarl import URL

from services.dispatcher.providers.adapter import NotSent, Refused, Unknown
from services.dispatcher.providers.tokens import SharedToken
from services.dispatcher.providers.wire import Permit, Wire
from shared.web.client import Reply

UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
JSON: Final = {"content-type": "application/json"}


class Bearer:
    """A wire and the token that its calls need."""

    def __init__(
        self, wire: Wire, token: SharedToken, *, timeout_ms: int, headers: dict[str, str]
    ) -> None:
        self._wire = wire
        self._token = token
        self._timeout_ms = timeout_ms
        self._headers = headers

    async def call(
        self,
        method: str,
        url: URL,
        *,
        permit: Permit,
        body: bytes = b"",
        timeout_ms: int | None = None,
    ) -> Reply | NotSent | Refused | Unknown:
        """Make the call; after a 401, which did nothing, once more with a new token."""
        for _ in range(2):
            token = await self._token.get()
            if not isinstance(token, str):
                return token
            reply = await self._wire.call(
                method,
                url,
                headers={"authorization": f"Bearer {token}", **self._headers},
                body=body,
                permit=permit,
                answer_timeout_ms=timeout_ms or self._timeout_ms,
            )
            if not isinstance(reply, Reply) or reply.status != UNAUTHORIZED:
                return reply
            self._token.spoil(token)
        return Refused("a fresh token was not taken", code="http_401", kind="hold", raw="")


def login_refused(reply: Reply | NotSent | Unknown) -> NotSent | Refused | None:
    """Return why a login brought no token; None: its body may hold one."""
    if not isinstance(reply, Reply):
        return NotSent(f"login: {reply.reason}")  # whatever became of it, nothing was paid
    if reply.status in (UNAUTHORIZED, FORBIDDEN):
        return Refused("the login was refused", f"login_{reply.status}", "hold", raw="")
    return None


def is_token(token: str) -> bool:
    """Tell whether this can stand in a header."""
    return bool(token) and token.isascii() and token.isprintable()
