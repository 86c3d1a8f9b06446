"""Reloadly: a token for an audience, the phone's operator, one paying request, and its report."""

import time
from collections.abc import Callable
from typing import Final

import msgspec
from yarl import URL

from services.dispatcher.providers.adapter import (
    Answer,
    Attempt,
    Facts,
    NotSent,
    Refused,
    Sale,
    Unknown,
)
from services.dispatcher.providers.addresses import provider_url
from services.dispatcher.providers.bearer import JSON, Bearer, is_token, login_refused
from services.dispatcher.providers.masking import mask
from services.dispatcher.providers.reading import Mask, NotSold, past, read
from services.dispatcher.providers.reloadly_wire import (
    Operator,
    Transaction,
    check_sold,
    classify,
    found,
    read_operator,
    read_status,
    topup_body,
    weigh,
)
from services.dispatcher.providers.tokens import Grant, SharedToken
from services.dispatcher.providers.wire import Free, Wire, connect_ms
from shared.web.client import Reply

SMALL_ANSWER_MS_MAX: Final = 7_000
"""For what comes before the paying request: a login, and whose phone it is."""
TOKEN_LIFE_MS_MAX: Final = 86_400_000
"""It says `expires_in` itself (a day in production, 60 in its sandbox); nobody needs it longer."""
REPORT_ROWS: Final = 20
VERSION: Final = {"accept": "application/com.reloadly.topups-v1+json", **JSON}
HTTP_OK: Final = 200


class ReloadlySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The access that Reloadly gave us; the address is also the token's audience."""

    url: str
    auth_url: str
    client_id: str
    client_secret: str
    timeout_ms: int = 45_000

    def __repr__(self) -> str:
        """Keep the credentials out of whatever prints this."""
        return f"ReloadlySettings(timeout_ms={self.timeout_ms}, …)"


class Reloadly:
    """The adapter; makes its connections and its login when it is first used."""

    def __init__(
        self, settings: ReloadlySettings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._url = provider_url(settings.url, "RELOADLY_URL")
        self._auth_url = provider_url(settings.auth_url, "RELOADLY_AUTH_URL")
        connecting_ms = connect_ms(settings.timeout_ms)
        self._small_ms = min(SMALL_ANSWER_MS_MAX, settings.timeout_ms // 2)
        self._wire = Wire(connect_timeout_ms=connecting_ms, answer_timeout_ms=settings.timeout_ms)
        self._token = SharedToken(self._log_in, life_ms=TOKEN_LIFE_MS_MAX, monotonic=monotonic)
        self._bearer = Bearer(
            self._wire, self._token, timeout_ms=settings.timeout_ms, headers=VERSION
        )
        self._facts = Facts(
            name="RELOADLY",
            inquiry=True,
            reference_per_attempt=True,
            connect_timeout_ms=connecting_ms,
            login_timeout_ms=2 * (connecting_ms + self._small_ms),
            answer_timeout_ms=settings.timeout_ms,
        )

    @property
    def facts(self) -> Facts:
        """A used `customIdentifier` is refused, which brings no first answer: it does not dedupe.

        It can be asked by ours; how soon its report shows what arrived is written nowhere, so its
        "never heard of it" is never believed.
        """
        return self._facts

    async def send(self, sale: Sale, attempt: Attempt) -> Answer:
        """Find the operator, then pay once; a second time only after a 401, which paid nothing."""
        mask_it = self._mask_for(sale)
        try:
            check_sold(sale)
            operator = await self._operator(sale, mask_it)
            if not isinstance(operator, Operator):
                return operator
            body = topup_body(sale, operator, attempt.reference)
        except NotSold as problem:
            return Refused(str(problem), code="not_sold", kind="final", raw="")
        reply = await self._bearer.call("POST", self._url / "topups", body=body, permit=attempt)
        if not isinstance(reply, Reply):
            return reply
        return classify(reply, attempt.reference, mask_it)

    async def inquire(self, sale: Sale, reference: str) -> Answer:
        """Ask the report for our reference, and for the status of what it shows without one."""
        url = (self._url / "topups" / "reports" / "transactions").with_query(
            customIdentifier=reference, page=1, size=REPORT_ROWS
        )
        reply = await self._bearer.call("GET", url, permit=Free())
        if not isinstance(reply, Reply):
            return reply
        mask_it = self._mask_for(sale)
        rows = found(reply, reference)
        if rows is None:
            return Unknown(f"not a whole report: HTTP {reply.status}", mask_it(reply.body))
        rows = [row if row.status else await self._with_status(row) for row in rows]
        answer = weigh(rows, mask_it(reply.body), mask_it)
        return past(answer) if isinstance(answer, Refused) else answer

    async def close(self) -> None:
        """Let go of the login and of all connections."""
        await self._token.close()
        await self._wire.close()

    async def _operator(self, sale: Sale, mask_it: Mask) -> Operator | Refused | NotSent:
        url = self._url / "operators" / "auto-detect" / "phone" / sale.phone
        query = {"includeBundles": "false", "includeData": "false", "includePin": "false"}
        reply = await self._bearer.call(
            "GET",
            (url / "countries" / sale.country).with_query(query),
            permit=Free(),
            timeout_ms=self._small_ms,
        )
        if isinstance(reply, Reply):
            return read_operator(reply, mask_it)
        if isinstance(reply, Unknown):
            return NotSent(f"whose phone it is: {reply.reason}")  # asking paid nothing
        return reply

    async def _with_status(self, row: Transaction) -> Transaction:
        url = self._url / "topups" / str(row.transaction_id) / "status"
        reply = await self._bearer.call("GET", url, permit=Free())
        return (read_status(reply, row) if isinstance(reply, Reply) else None) or row

    async def _log_in(self) -> Grant | NotSent | Refused:
        login = {
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret,
            "grant_type": "client_credentials",
            "audience": _without_slash(self._url),
        }
        reply = await self._wire.call(
            "POST",
            self._auth_url / "oauth" / "token",
            headers=JSON,
            body=msgspec.json.encode(login),
            permit=Free(),
            answer_timeout_ms=self._small_ms,
        )
        if refusal := login_refused(reply):
            return refusal
        assert isinstance(reply, Reply)
        return _grant_in(reply) or NotSent(f"login: no token came, HTTP {reply.status}")

    def _mask_for(self, sale: Sale) -> Mask:
        access = (self._settings.client_id, self._settings.client_secret)
        # The tokens of when it is used: the one of this very call may be newer than this mask.
        return lambda answer: mask(answer, phone=sale.phone, secrets=[*access, *self._token.recent])


class _Access(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: int | None = None


_accesses: Final = msgspec.json.Decoder(_Access)


def _grant_in(reply: Reply) -> Grant | None:
    access = read(_accesses, reply.body) if reply.status == HTTP_OK else None
    if access is None or not is_token(access.access_token):
        return None
    lives = access.expires_in
    return Grant(access.access_token, None if lives is None else max(lives, 1) * 1_000)


def _without_slash(url: URL) -> str:
    return str(url).rstrip("/")
