"""One run: sell, let things go wrong meanwhile, heal, wait for rest, and hear all witnesses."""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tests.chaos import schedule
from tests.chaos.faults import happen
from tests.chaos.house import PROVIDERS, House
from tests.chaos.merchant import Line, Merchant, Sale, sales
from tests.chaos.rest import hear_all
from tests.chaos.schedule import Fault
from tests.chaos.settings import Settings
from tests.chaos.sources import Sources
from tests.chaos.verifier import Violation

CATCH_UP_S_MIN: Final = 15.0
CATCH_UP_SHARE: Final = 0.25
"""After its time a run still sells what was held up, for so long at most."""
SAY_EACH_S: Final = 10.0
LOOK_EACH_S: Final = 2.0
PLAIN_PHONE: Final = "5566374683"
LANES: Final = tuple(PROVIDERS)
WHOSE: Final = ("LATCOM", "AUTO")


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
        self._sold: list[Sale] = list(
            sales(
                settings.seed,
                settings.topups,
                provider=settings.provider,
                tricks_times=settings.tricks_times,
            )
        )
        self._per_s = settings.topups / settings.length_s

    async def tell(self) -> Told:
        """Do all of it.

        Raises:
            TimeoutError: the system did not come to rest; what it was doing is in its folder.
        """
        begun = time.monotonic()
        settings = self._settings
        async with House(
            self._folder,
            kinds=settings.provider_kinds,
            latency=settings.latency_ms,
            deadline_s=settings.deadline_s,
            two_lanes=True,
            cluster=settings.cluster,
        ) as house:
            link = house.links["merchant-gateway"]
            merchant = Merchant(
                f"http://127.0.0.1:{link.port}",
                house.api_keys,
                self._folder / "merchant.log",
            )
            rounds = Rounds(merchant, self._sold, seed=settings.seed)
            async with asyncio.TaskGroup() as tasks:
                selling = tasks.create_task(merchant.sell(list(self._sold), per_s=self._per_s))
                await self._break_while(selling, house, merchant)
                merchant.begin_no_more()
                say(f"  {_clock()} healed; waiting for rest")
                problems, sources = await hear_all(
                    house,
                    merchant,
                    self._sold,
                    rest_s=settings.rest_s,
                    deadline_s=settings.deadline_s,
                    meanwhile=rounds.one_more,
                )
                house.broken = bool(problems)
                selling.cancel()
                rounds.end()
            await merchant.close()
        return Told(
            settings=settings,
            sources=sources,
            violations=problems,
            happened=self._happened,
            lines=merchant.lines,
            folder=self._folder,
            took_s=time.monotonic() - begun,
        )

    async def _break_while(
        self, selling: asyncio.Task[None], house: House, merchant: Merchant
    ) -> None:
        """Let all faults happen; return when all is sold, or what was to be sold in the time."""
        settings = self._settings
        faults = schedule.draw(
            settings.seed,
            length_s=settings.length_s,
            each_s=settings.each_s,
            kinds=settings.faults,
            known=settings.known,
        )
        async with asyncio.TaskGroup() as tasks:
            saying = tasks.create_task(self._say(merchant))
            watching = tasks.create_task(_until_paid_twice(house))
            breaking = tasks.create_task(self._break(house, merchant, faults))

            async def until_all_is_sold() -> None:
                await breaking
                await asyncio.wait({selling})

            await asyncio.wait(
                {tasks.create_task(until_all_is_sold()), watching},
                timeout=settings.length_s + max(CATCH_UP_S_MIN, CATCH_UP_SHARE * settings.length_s),
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in (saying, watching, breaking):
                task.cancel()

    async def _break(self, house: House, merchant: Merchant, faults: list[Fault]) -> None:
        """Let each fault happen when it is due; two of the same target wait for each other.

        Where all takes longer than planned, what would come after the run's time does not.
        """
        begun = time.monotonic()
        ends = begun + self._settings.length_s
        locks: dict[str, asyncio.Lock] = {}
        async with asyncio.TaskGroup() as tasks:
            for fault in faults:
                await asyncio.sleep(max(begun + fault.at_s - time.monotonic(), 0))
                waited_from = time.monotonic()
                await house.up.wait()
                begun += time.monotonic() - waited_from  # what was due meanwhile comes later
                if time.monotonic() > ends:
                    break
                if fault.kind == "wallet_empty":
                    number = len(self._sold)
                    name = f"{self._settings.seed}-wallet-{number}"
                    sale = Sale(name, "5566374907", 10, provider=WHOSE[number % len(WHOSE)])
                    self._sold.append(sale)
                    tasks.create_task(merchant.sell_one(sale))
                lock = locks.setdefault(fault.target, asyncio.Lock())
                tasks.create_task(self._one(house, fault, lock))

    async def _one(self, house: House, fault: Fault, lock: asyncio.Lock) -> None:
        async with lock:
            from_ms = _now_ms()
            say(f"  {_clock()} {fault}")
            if await happen(house, fault):
                self._happened.append(Happened(fault, from_ms, _now_ms()))

    async def _say(self, merchant: Merchant) -> None:
        while True:
            await asyncio.sleep(SAY_EACH_S)
            accepted = sum(line.what == "answered" for line in merchant.lines)
            say(f"  {_clock()} {accepted} accepted, {merchant.open_sales} not known yet")


async def _until_paid_twice(house: House) -> None:
    """Return as soon as the provider has: no more needs to be seen."""
    while not await house.is_paid_twice():  # noqa: ASYNC110 - it is a process
        await asyncio.sleep(LOOK_EACH_S)


class Rounds:
    """Sells one topup after another while all comes to rest, so that its time can be measured."""

    def __init__(self, merchant: Merchant, sold: list[Sale], *, seed: int) -> None:
        self._merchant = merchant
        self._sold = sold
        self._name = f"{seed}-round"
        self._round: asyncio.Task[str | None] | None = None

    async def one_more(self) -> None:
        """Begin the next one, where the last is sold; come back after a second."""
        if self._round is None or self._round.done():
            number = len(self._sold)
            lane = LANES[number % len(LANES)]  # so that each has a probe, where it needs one
            sale = Sale(f"{self._name}-{number}", PLAIN_PHONE, 10, provider=lane)
            self._sold.append(sale)
            self._round = asyncio.create_task(self._merchant.sell_one(sale))
        await asyncio.sleep(1)

    def end(self) -> None:
        """Leave the last one."""
        if self._round is not None:
            self._round.cancel()


def say(text: str, write: Callable[[str], object] = sys.stdout.write) -> None:
    """Print a line at once."""
    write(f"{text}\n")
    sys.stdout.flush()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _clock() -> str:
    return time.strftime("%H:%M:%S")
