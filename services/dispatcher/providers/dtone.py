"""DT One: keys in each request, one paying request that waits for the end, and a list to ask."""

import base64

import msgspec

from services.dispatcher.providers.adapter import Answer, Attempt, Facts, Refused, Sale
from services.dispatcher.providers.addresses import provider_url
from services.dispatcher.providers.bearer import JSON
from services.dispatcher.providers.dtone_wire import classify, order_body, weigh
from services.dispatcher.providers.masking import mask
from services.dispatcher.providers.reading import Mask, NotSold, past
from services.dispatcher.providers.wire import Free, Wire, connect_ms
from shared.web.client import Reply


class DtoneSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The access that DT One gave us, and its number of the ranged recharge that we sell."""

    url: str
    api_key: str
    api_secret: str
    product_id: int
    timeout_ms: int = 60_000

    def __repr__(self) -> str:
        """Keep the credentials out of whatever prints this."""
        return f"DtoneSettings(timeout_ms={self.timeout_ms}, …)"


class Dtone:
    """The adapter; makes its connections when it is first used."""

    def __init__(self, settings: DtoneSettings) -> None:
        self._settings = settings
        self._url = provider_url(settings.url, "DTONE_URL") / "v1"
        connecting_ms = connect_ms(settings.timeout_ms)
        self._wire = Wire(connect_timeout_ms=connecting_ms, answer_timeout_ms=settings.timeout_ms)
        pair = f"{settings.api_key}:{settings.api_secret}".encode()
        self._basic = base64.b64encode(pair).decode()
        self._facts = Facts(
            name="DTONE",
            inquiry=True,
            reference_per_attempt=True,
            connect_timeout_ms=connecting_ms,
            login_timeout_ms=0,
            answer_timeout_ms=settings.timeout_ms,
        )

    @property
    def facts(self) -> Facts:
        """A used `external_id` is refused (1007001), which brings no first answer: no dedupe.

        It can be asked by ours, "when the supposed API response was not received"; how soon it
        shows what arrived is written nowhere, so its "never heard of it" is never believed.
        """
        return self._facts

    async def send(self, sale: Sale, attempt: Attempt) -> Answer:
        """Pay once: one request on the wire; what is not done in time is asked about later."""
        try:
            body = order_body(sale, self._settings.product_id, attempt.reference)
        except NotSold as problem:
            return Refused(str(problem), code="not_sold", kind="final", raw="")
        reply = await self._wire.call(
            "POST",
            self._url / "sync" / "transactions",
            headers=self._headers(),
            body=body,
            permit=attempt,
            answer_timeout_ms=self._settings.timeout_ms,
        )
        if not isinstance(reply, Reply):
            return reply
        return classify(reply, attempt.reference, self._mask_for(sale))

    async def inquire(self, sale: Sale, reference: str) -> Answer:
        """Ask by our reference."""
        reply = await self._wire.call(
            "GET",
            (self._url / "transactions").with_query(external_id=reference),
            headers=self._headers(),
            permit=Free(),
            answer_timeout_ms=self._settings.timeout_ms,
        )
        if not isinstance(reply, Reply):
            return reply
        answer = weigh(reply, reference, self._mask_for(sale))
        return past(answer) if isinstance(answer, Refused) else answer

    async def close(self) -> None:
        """Let go of all connections."""
        await self._wire.close()

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Basic {self._basic}", **JSON}

    def _mask_for(self, sale: Sale) -> Mask:
        secrets = [self._basic, self._settings.api_key, self._settings.api_secret]
        return lambda answer: mask(answer, phone=sale.phone, secrets=secrets)
