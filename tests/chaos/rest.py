"""Mends everything, waits until nothing is open, and hears all four witnesses."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from tests.chaos.house import House
from tests.chaos.merchant import Merchant, Sale
from tests.chaos.replaying import replay_changes
from tests.chaos.settings import DEADLINE_S
from tests.chaos.sources import (
    Sources,
    ledger_says,
    merchant_says,
    pending_says,
    providers_say,
    streams_say,
)
from tests.chaos.verifier import Violation, verify

BOOKED_S_MAX: Final = 60.0
BOOKED_PER_S_MIN: Final = 10
LOOKS_AT_ONCE: Final = 50
LOOK_S_MAX: Final = 60.0
OPEN: Final = ("waiting", "active", "delayed")
Act = Callable[[], Awaitable[object]]
A_MOMENT: Final[Act] = partial(asyncio.sleep, 0.25)


async def hear_all(
    house: House,
    merchant: Merchant,
    sold: Sequence[Sale],
    *,
    rest_s: float,
    deadline_s: float = float(DEADLINE_S),
    meanwhile: Act = A_MOMENT,
) -> tuple[list[Violation], Sources]:
    """Return every violation, of whatever invariant, and what the witnesses say.

    `meanwhile` is done between two looks whether all is at rest; what it sells joins `sold`.
    """
    problems: list[Violation] = []
    if not await house.is_paid_twice():  # else nobody needs to wait any more
        problems = await _come_to_rest(house, merchant, rest_s, meanwhile)
    sources = await _hear(house, merchant, sold, deadline_s)
    problems += await replay_changes(house.streams_url, house.servers["postgres"].url)
    return sorted({*problems, *verify(sources)}), sources


async def _come_to_rest(
    house: House, merchant: Merchant, rest_s: float, meanwhile: Act
) -> list[Violation]:
    await house.heal()

    async def topups() -> int:
        stats = await house.queue()
        closed: int = sum(lane["state"] != "open" for lane in stats.get("lanes", {}).values())
        return merchant.open_sales + closed + sum(int(stats.get(name, 1)) for name in OPEN)

    async def books() -> int:
        pending = await asyncio.to_thread(pending_says, house.streams_url)
        return sum(pending.values())

    if not await comes_to_rest(topups, within_s=rest_s, act=meanwhile):
        return [Violation("not at rest", "topups", f"nothing ended in {rest_s:.0f} s")]
    within_s = min(rest_s, BOOKED_S_MAX)
    if not await comes_to_rest(books, within_s=within_s, act=A_MOMENT, per_s=BOOKED_PER_S_MIN):
        return [Violation("not at rest", "books", f"still open after {within_s:.0f} s")]
    return []


async def comes_to_rest(
    look: Callable[[], Awaitable[int]], *, within_s: float, act: Act, per_s: float = 0.0
) -> bool:
    """Look how much is open, and act in between, until nothing is; tell whether it came to that.

    Standstill is what is bounded, not time: a slow machine may take as long as there is less. Of
    what should be quick, so many must go each second, besides.
    """
    begun = since = time.monotonic()
    least, first = math.inf, 0
    while now := await look():
        first = first or now
        if now < least:
            least, since = now, time.monotonic()
        elif time.monotonic() - since > within_s:
            return False
        if per_s and time.monotonic() - begun > within_s + first / per_s:
            return False
        await act()
    return True


async def _hear(
    house: House, merchant: Merchant, sold: Sequence[Sale], deadline_s: float
) -> Sources:
    told = merchant_says(sold, merchant.lines)
    at_once = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def look(key: str) -> None:
        async with at_once:
            for topup_id in told[key].ids[:1]:
                told[key].at_last = await _look_until_told(merchant, topup_id)

    await asyncio.gather(*map(look, told))
    return Sources(
        merchant=told,
        providers=providers_say(await house.provider_books()),
        ledger=await asyncio.to_thread(ledger_says, house.servers["postgres"].url),
        streams=await asyncio.to_thread(streams_say, house.streams_url),
        deadline_ms=round(deadline_s * 1_000),
    )


async def _look_until_told(merchant: Merchant, topup_id: str) -> str | None:
    """Return the topup's status; a slow machine may need more than one try for the answer."""
    until_s = time.monotonic() + LOOK_S_MAX
    while (state := await merchant.look(topup_id)) is None and time.monotonic() < until_s:
        await A_MOMENT()
    return state
