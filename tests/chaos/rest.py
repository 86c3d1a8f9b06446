"""Mends everything, waits until nothing is open, and hears all four witnesses."""

import asyncio
from collections.abc import Iterable
from typing import Final

from tests.chaos.house import House, until
from tests.chaos.merchant import Merchant, Sale
from tests.chaos.replaying import replay_changes
from tests.chaos.settings import DEADLINE_S
from tests.chaos.sources import Sources, ledger_says, merchant_says, provider_says, streams_say
from tests.chaos.verifier import Violation, verify

BOOKED_S_MAX: Final = 30.0
LOOKS_AT_ONCE: Final = 50


async def hear_all(
    house: House,
    merchant: Merchant,
    sold: Iterable[Sale],
    *,
    rest_s: float,
    deadline_s: float = float(DEADLINE_S),
) -> tuple[list[Violation], Sources]:
    """Return every violation, of whatever invariant, and what the witnesses say."""
    problems: list[Violation] = []
    if not (await house.provider_book())["paid_twice"]:  # else nobody needs to wait any more
        problems = await _come_to_rest(house, merchant, rest_s)
    sources = await _hear(house, merchant, sold, deadline_s)
    problems += await replay_changes(house.servers["valkey"].url, house.servers["postgres"].url)
    return sorted({*problems, *verify(sources)}), sources


async def _come_to_rest(house: House, merchant: Merchant, rest_s: float) -> list[Violation]:
    await house.heal()

    async def at_rest() -> bool:
        stats = await house.queue()
        is_open = sum(stats.get(name, 1) for name in ("waiting", "active", "delayed"))
        return not is_open and not merchant.open_sales

    async def booked() -> bool:
        return not any(streams_say(house.servers["valkey"].url).pending.values())

    for what, look, within_s in (
        ("topups", at_rest, rest_s),
        ("books", booked, BOOKED_S_MAX),
    ):
        try:
            await until(look, within_s=within_s, each_s=0.25)
        except TimeoutError:
            return [Violation("not at rest", what, f"still open after {within_s:.0f} s")]
    return []


async def _hear(
    house: House, merchant: Merchant, sold: Iterable[Sale], deadline_s: float
) -> Sources:
    told = merchant_says(sold, merchant.lines)
    at_once = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def look(key: str) -> None:
        async with at_once:
            for topup_id in told[key].ids[:1]:
                told[key].at_last = await merchant.look(topup_id)

    await asyncio.gather(*map(look, told))
    return Sources(
        merchant=told,
        provider=provider_says(await house.provider_book()),
        ledger=await asyncio.to_thread(ledger_says, house.servers["postgres"].url),
        streams=await asyncio.to_thread(streams_say, house.servers["valkey"].url),
        deadline_ms=round(deadline_s * 1_000),
    )
