"""A merchant who sells at a constant rate, repeats with its keys until it knows, and logs all."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import aiohttp
import msgspec

ANSWER_S_MAX: Final = 6.0
PAUSE_S_FIRST: Final = 0.2
PAUSE_S_MAX: Final = 3.0
OPEN_MAX: Final = 200
"""So many sales a merchant has open at once; while nobody answers, the rest wait with him."""
WATCHED_ONE_IN: Final = 10
WATCH_EACH_S: Final = 1.0
WATCHES_MAX: Final = 20
ACCEPTED: Final = (200, 202)
NOTHING_DONE: Final = frozenset({429, 503})
"""Nothing was accepted, unless the answer names a topup."""
TOLD_NO: Final = frozenset({400, 401, 403, 404, 405, 413, 415, 422})
NOT_FOUND: Final = "not_found"
SHARES: Final = {
    "901": 20, "902": 20, "903": 4, "904": 6, "905": 6, "906": 4, "908": 4, "909": 2, "910": 4,
}  # fmt: skip
"""The provider's tricks by the phone's last digits, and how many of a thousand sales get them.

…907 empties the wallet and holds the lane: only the fault of that name sells one.
"""
ENDLESS: Final = {"dedupes": frozenset({"906", "908"})}
"""Tricks that never end where the provider is only ever asked again in the same way."""


KEYLESS_ONE_IN: Final = 20
AUTO_ONE_IN: Final = 3
"""So many leave the provider to us; all others name the first."""


class Sale(msgspec.Struct, frozen=True):
    """One thing to sell, under a name of the merchant's own, which is its key if it has one."""

    key: str
    phone: str
    amount: int  # whole pesos
    keyless: bool = False  # nobody knows a repeat of it again: only what did nothing is repeated
    provider: str = "LATCOM"


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One line of the merchant's log."""

    at_ms: int
    key: str
    what: str  # asked, answered, unanswered, watched
    status: int = 0
    topup_id: str | None = None
    state: str | None = None


def sales(seed: int, count: int, *, provider: str, tricks_times: int = 1) -> Iterator[Sale]:
    """Yield what is sold: always the same for a seed, a kind of provider and a share of tricks."""
    chance = random.Random(seed)
    endless = ENDLESS.get(provider, frozenset())
    shares = {ending: share for ending, share in SHARES.items() if ending not in endless}
    tricks = [ending for ending, share in shares.items() for _ in range(share * tricks_times)]
    for number in range(count):
        trick = chance.randrange(1_000)
        ending = tricks[trick] if trick < len(tricks) else f"{chance.randrange(900):03}"
        amount = chance.choice((10, 20, 30, 55, 100))
        keyless = number % KEYLESS_ONE_IN == KEYLESS_ONE_IN - 1
        provider_asked = "LATCOM" if number % AUTO_ONE_IN else "AUTO"
        yield Sale(f"{seed}-{number}", f"5566374{ending}", amount, keyless, provider_asked)


class Merchant:
    """Sells through a URL that may fail in every way; its log is on disk before it goes on.

    With the keys of several customers it sells for all of them, each sale for always the same one.
    """

    def __init__(
        self, url: str, api_keys: Sequence[str], log: Path, *, connections_max: int = 0
    ) -> None:
        self.lines: list[Line] = []
        self._url = url
        self._customers = [{"x-api-key": key} for key in api_keys]
        self._whose: dict[str, dict[str, str]] = {}
        self._log = log.open("ab")
        self._encode = msgspec.json.Encoder().encode
        self._chance = random.Random()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections_max, keepalive_timeout=10),
            timeout=aiohttp.ClientTimeout(total=ANSWER_S_MAX),
        )
        self.open_sales = 0
        self._closing = False

    async def sell(self, what: Sequence[Sale], *, per_s: float) -> None:
        """Begin each sale when it is due, whatever became of the others; return when all know.

        Nothing is begun after `begin_no_more`.
        """
        begun = time.monotonic()
        room = asyncio.Semaphore(OPEN_MAX)

        async def one(sale: Sale, *, watch: bool) -> None:
            async with room:
                topup_id = await self.sell_one(sale)
            if watch and topup_id is not None:
                await self._watch(sale, topup_id)

        async with asyncio.TaskGroup() as tasks:
            for number, sale in enumerate(what):
                await asyncio.sleep(max(begun + number / per_s - time.monotonic(), 0))
                async with room:  # waits while too many are open
                    pass
                if self._closing:
                    break
                tasks.create_task(one(sale, watch=number % WATCHED_ONE_IN == 0))

    def begin_no_more(self) -> None:
        """Let only what is begun go on."""
        self._closing = True

    async def sell_one(self, sale: Sale) -> str | None:
        """Repeat the sale until it is accepted (return its id), or a no, or while it may be."""
        self.open_sales += 1
        topup_id, pause_s = None, PAUSE_S_FIRST
        while topup_id is None:
            self._note(sale, "asked")
            status, body = await self._post(sale)
            if status in ACCEPTED:
                topup_id = body["topup_id"]
                self._whose[topup_id] = self._customer(sale)
                self._note(sale, "answered", status, topup_id, body["status"])
            elif status in TOLD_NO:
                self._note(sale, "answered", status)
                break
            else:
                self._note(sale, "unanswered", status)
                if sale.keyless and (status not in NOTHING_DONE or "topup_id" in body):
                    break
                await asyncio.sleep(pause_s * self._chance.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, PAUSE_S_MAX)
        self.open_sales -= 1
        return topup_id

    async def look(self, topup_id: str) -> str | None:
        """Ask for a topup's status; NOT_FOUND: there is none; None: no answer."""
        try:
            async with self._session.get(
                f"{self._url}/api/enviadespensa/topups/{topup_id}",
                headers=self._whose.get(topup_id, self._customers[0]),
            ) as answer:
                if answer.status == 404:
                    return NOT_FOUND
                body: dict[str, Any] = await answer.json(content_type=None)
                return body["status"] if answer.status in ACCEPTED else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError):
            return None

    async def close(self) -> None:
        """Let go of the connections and the log."""
        await self._session.close()
        self._log.close()

    async def _watch(self, sale: Sale, topup_id: str) -> None:
        """Look at it a while longer than its end: what is final must stay so."""
        looks_after_end = 2
        for _ in range(WATCHES_MAX):  # what ends later is not waited for here
            await asyncio.sleep(WATCH_EACH_S)
            state = await self.look(topup_id)
            if state in (None, NOT_FOUND):
                continue
            self._note(sale, "watched", 200, topup_id, state)
            if state in ("succeeded", "failed", "unresolved"):
                looks_after_end -= 1
            if not looks_after_end:
                break

    async def _post(self, sale: Sale) -> tuple[int, dict[str, Any]]:
        """Return status and body; 0 where no answer came that can be read."""
        try:
            async with self._session.post(
                f"{self._url}/api/enviadespensa/topup",
                json={
                    "phone": sale.phone,
                    "amount": sale.amount,
                    "provider": sale.provider,
                    "metadata": {"sale": sale.key},
                },
                headers=self._customer(sale)
                | ({} if sale.keyless else {"idempotency-key": sale.key}),
            ) as answer:
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return 0, {}

    def _customer(self, sale: Sale) -> dict[str, str]:
        return self._customers[crc32(sale.key.encode()) % len(self._customers)]

    def _note(
        self,
        sale: Sale,
        what: str,
        status: int = 0,
        topup_id: str | None = None,
        state: str | None = None,
    ) -> None:
        line = Line(time.time_ns() // 1_000_000, sale.key, what, status, topup_id, state)
        self.lines.append(line)
        self._log.write(self._encode(line) + b"\n")
        self._log.flush()
