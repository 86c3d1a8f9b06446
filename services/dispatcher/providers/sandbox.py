"""The sandbox in LATCOM's place: with what it can do more, where that is switched on."""

from typing import Final
from urllib.parse import quote

import msgspec

from services.dispatcher.providers.adapter import Answer, Facts, NotFound, Refused, Sale
from services.dispatcher.providers.addresses import is_loopback, provider_url
from services.dispatcher.providers.latcom import Latcom, LatcomSettings
from services.dispatcher.providers.latcom_wire import classify, read_result
from services.dispatcher.providers.reading import past
from services.dispatcher.providers.wire import Free
from shared.contracts.errors import InvalidSettings
from shared.web.client import Reply

DEDUPE_WINDOW_MS: Final = 86_400_000
VISIBLE_AFTER_MS: Final = 1_000


class SandboxLatcom(Latcom):
    """LATCOM as the sandbox plays it; to believe this of the real one would pay twice."""

    def __init__(self, settings: LatcomSettings, *, dedupes: bool, inquiry: bool) -> None:
        super().__init__(settings)
        if not is_loopback(provider_url(settings.url, "LATCOM_URL")):
            raise InvalidSettings(
                "SANDBOX_DEDUPES and SANDBOX_INQUIRY are for the sandbox on this machine; "
                "leave them out, or for example LATCOM_URL=http://127.0.0.1:8090"
            )
        self._facts = msgspec.structs.replace(
            self._facts,
            dedupes_on_reference=dedupes,
            dedupe_window_ms=DEDUPE_WINDOW_MS if dedupes else None,
            inquiry=inquiry,
            visible_after_ms=VISIBLE_AFTER_MS if inquiry else None,
        )

    @property
    def facts(self) -> Facts:
        """What the sandbox was started with."""
        return self._facts

    async def inquire(self, sale: Sale, reference: str) -> Answer:
        """Ask the sandbox by our reference."""
        if not self._facts.inquiry:
            return await super().inquire(sale, reference)
        url = self._url / f"api/tn/status/{quote(reference, safe='')}"
        reply = await self._bearer.call("GET", url, permit=Free())
        if not isinstance(reply, Reply):
            return reply
        mask = self._mask_for(sale)
        result = read_result(reply, reference)
        if result is not None and result.status == "NotFound":
            return NotFound(mask(reply.body))
        answer = classify(reply, reference, mask)
        return past(answer) if isinstance(answer, Refused) else answer
