"""One run: sell, let things go wrong meanwhile, heal, wait for rest, and hear all witnesses."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tests.chaos import schedule
from tests.chaos.faults import happen
from tests.chaos.house import House, until
from tests.chaos.merchant import Line, Merchant, Sale, sales
from tests.chaos.replaying import replay_changes
from tests.chaos.schedule import Fault
from tests.chaos.settings import Settings
from tests.chaos.sources import Sources, ledger_says, merchant_says, provider_says, streams_say
from tests.chaos.verifier import Violation, verify

REST_S_MAX: Final = 240.0
KNOWN_S_MAX: Final = 120.0
LOOKS_AT_ONCE: Final = 50
SAY_EACH_S: Final = 10.0


class Happened(msgspec.Struct, frozen=True):
    """A fault as it was, by the wall clock."""

    fault: Fault
    from_ms: int
    to_ms: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run leaves behind for the verdict."""

    settings: Settings
    sources: Sources
    violations: list[Violation]
    happened: list[Happened]
    lines: list[Line]
    folder: Path
    took_s: float


class Run:
    """Sells and breaks things in one house."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._happened: list[Happened] = []
        self._sold: list[Sale] = []

    async def tell(self) -> Told:
        """Do all of it.

        Raises:
            TimeoutError: the system did not come to rest; what it was doing is in its folder.
        """
        begun = time.monotonic()
        async with House(self._folder, kinds=self._settings.provider_kinds) as house:
            link = house.links["merchant-gateway"]
            merchant = Merchant(
                f"http://127.0.0.1:{link.port}",
                house.keys["TOPUP_API_KEY"],
                self._folder / "merchant.log",
            )
            try:
                await self._sell_and_break(house, merchant)
                problems = await self._come_to_rest(house, merchant)
                sources = await self._hear(house, merchant)
                problems += await replay_changes(
                    house.servers["valkey"].url, house.servers["postgres"].url
                )
            finally:
                await merchant.close()
        return Told(
            settings=self._settings,
            sources=sources,
            violations=sorted({*problems, *verify(sources)}),
            happened=self._happened,
            lines=merchant.lines,
            folder=self._folder,
            took_s=time.monotonic() - begun,
        )

    async def _sell_and_break(self, house: House, merchant: Merchant) -> None:
        settings = self._settings
        self._sold = list(sales(settings.seed, settings.topups, provider=settings.provider))
        faults = schedule.draw(
            settings.seed,
            length_s=settings.length_s,
            each_s=settings.each_s,
            kinds=settings.faults,
        )
        per_s = settings.topups / settings.length_s
        async with asyncio.TaskGroup() as tasks:
            saying = tasks.create_task(self._say(merchant))
            breaking = tasks.create_task(self._break(house, merchant, faults))
            selling = tasks.create_task(merchant.sell(self._sold, per_s=per_s))
            await breaking
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KNOWN_S_MAX):
                    await asyncio.shield(selling)
            selling.cancel()
            saying.cancel()

    async def _break(self, house: House, merchant: Merchant, faults: list[Fault]) -> None:
        """Let each fault happen when it is due; two of the same target wait for each other."""
        begun = time.monotonic()
        locks: dict[str, asyncio.Lock] = {}
        async with asyncio.TaskGroup() as tasks:
            for fault in faults:
                await asyncio.sleep(max(begun + fault.at_s - time.monotonic(), 0))
                if fault.kind == "wallet_empty":
                    number = len(self._sold)
                    sale = Sale(f"{self._settings.seed}-wallet-{number}", "5566374907", 10)
                    self._sold.append(sale)
                    tasks.create_task(merchant.sell_one(sale))
                lock = locks.setdefault(fault.target, asyncio.Lock())
                tasks.create_task(self._one(house, fault, lock))

    async def _one(self, house: House, fault: Fault, lock: asyncio.Lock) -> None:
        async with lock:
            await house.up.wait()
            from_ms = _now_ms()
            say(f"  {_clock()} {fault}")
            await happen(house, fault)
            self._happened.append(Happened(fault, from_ms, _now_ms()))

    async def _come_to_rest(self, house: House, merchant: Merchant) -> list[Violation]:
        """Mend all, and wait until nothing is open."""
        say(f"  {_clock()} healed; waiting for rest")
        await house.heal()

        async def at_rest() -> bool:
            stats = await house.queue()
            is_open = sum(stats.get(name, 1) for name in ("waiting", "active", "delayed"))
            return not is_open and not merchant.open_sales

        async def booked() -> bool:
            return not any(streams_say(house.servers["valkey"].url).pending.values())

        for what, look, within_s in (("topups", at_rest, REST_S_MAX), ("books", booked, 150.0)):
            try:
                await until(look, within_s=within_s, each_s=0.5)
            except TimeoutError:
                return [Violation("not at rest", what, f"still open after {within_s:.0f} s")]
        return []

    async def _hear(self, house: House, merchant: Merchant) -> Sources:
        told = merchant_says(self._sold, merchant.lines)
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
        )

    async def _say(self, merchant: Merchant) -> None:
        while True:
            await asyncio.sleep(SAY_EACH_S)
            accepted = sum(line.what == "answered" for line in merchant.lines)
            say(f"  {_clock()} {accepted} accepted, {merchant.open_sales} not known yet")


def say(text: str, write: Callable[[str], object] = sys.stdout.write) -> None:
    """Print a line at once."""
    write(f"{text}\n")
    sys.stdout.flush()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _clock() -> str:
    return time.strftime("%H:%M:%S")
