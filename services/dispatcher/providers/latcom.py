"""LATCOM: a shared token, one paying request for each attempt, and no way to ask afterwards."""

import time
from collections.abc import Callable
from typing import Final

import msgspec

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
from services.dispatcher.providers.latcom_wire import classify, order_body
from services.dispatcher.providers.masking import mask
from services.dispatcher.providers.reading import NotSold
from services.dispatcher.providers.tokens import Grant, SharedToken
from services.dispatcher.providers.wire import Free, Wire, connect_ms
from shared.web.client import Reply

LOGIN_ANSWER_MS_MAX: Final = 7_000
HTTP_OK: Final = 200


class LatcomSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The access that LATCOM gave us, and how long we wait."""

    url: str
    username: str
    password: str
    dist_api: str
    user_uid: str
    timeout_ms: int = 45_000
    token_life_ms: int = 240_000

    def __repr__(self) -> str:
        """Keep the credentials out of whatever prints this."""
        return f"LatcomSettings(timeout_ms={self.timeout_ms}, …)"


class Latcom:
    """The adapter; makes its connections and its login when it is first used."""

    def __init__(
        self, settings: LatcomSettings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._url = provider_url(settings.url, "LATCOM_URL")
        self._orders = self._url / "api/tn/fast"
        connecting_ms = connect_ms(settings.timeout_ms)
        self._login_answer_ms = min(LOGIN_ANSWER_MS_MAX, settings.timeout_ms // 2)
        self._wire = Wire(connect_timeout_ms=connecting_ms, answer_timeout_ms=settings.timeout_ms)
        self._token = SharedToken(self._log_in, life_ms=settings.token_life_ms, monotonic=monotonic)
        self._bearer = Bearer(self._wire, self._token, timeout_ms=settings.timeout_ms, headers=JSON)
        self._facts = Facts(
            name="LATCOM",
            connect_timeout_ms=connecting_ms,
            login_timeout_ms=connecting_ms + self._login_answer_ms,
            answer_timeout_ms=settings.timeout_ms,
        )

    @property
    def facts(self) -> Facts:
        """LATCOM promises neither to dedupe nor to answer questions by our reference."""
        return self._facts

    async def send(self, sale: Sale, attempt: Attempt) -> Answer:
        """Pay once: one request on the wire, a second only after a 401, which paid nothing."""
        try:
            body = order_body(sale, attempt.reference)
        except NotSold as problem:
            return Refused(str(problem), code="not_sold", kind="final", raw="")
        reply = await self._bearer.call("POST", self._orders, body=body, permit=attempt)
        if not isinstance(reply, Reply):
            return reply
        return classify(reply, attempt.reference, self._mask_for(sale))

    async def inquire(self, sale: Sale, reference: str) -> Answer:  # noqa: ARG002 - the contract's
        """Say nothing: LATCOM knows its own ids only, and a lost answer brought none."""
        return Unknown(f"{self._facts.name} cannot be asked about {reference}")

    async def close(self) -> None:
        """Let go of the login and of all connections."""
        await self._token.close()
        await self._wire.close()

    async def _log_in(self) -> Grant | NotSent | Refused:
        login = {
            "username": self._settings.username,
            "password": self._settings.password,
            "dist_api": self._settings.dist_api,
            "user_uid": self._settings.user_uid,
        }
        reply = await self._wire.call(
            "POST",
            self._url / "api/dislogin",
            headers=JSON,
            body=msgspec.json.encode(login),
            permit=Free(),
            answer_timeout_ms=self._login_answer_ms,
        )
        if refusal := login_refused(reply):
            return refusal
        assert isinstance(reply, Reply)
        return _token_in(reply) or NotSent(f"login: no token came, HTTP {reply.status}")

    def _mask_for(self, sale: Sale) -> Callable[[bytes | str], str]:
        secrets = [
            self._settings.password,
            self._settings.username,
            self._settings.dist_api,
            self._settings.user_uid,
            *self._token.recent,
        ]
        return lambda answer: mask(answer, phone=sale.phone, secrets=secrets)


class _Access(msgspec.Struct, frozen=True):
    access: str


def _token_in(reply: Reply) -> Grant | None:
    if reply.status != HTTP_OK:
        return None
    try:
        token = msgspec.json.decode(reply.body, type=_Access).access
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return Grant(token) if is_token(token) else None
