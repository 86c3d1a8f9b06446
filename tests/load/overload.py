"""`make overload`: several times what the stack can take, for a while; then how soon it is over.

Capacity is measured in the same run, by a few merchants who ask as fast as they are answered: what
counts are ratios. Each sale of the flood is asked for once; what then is not known is repeated.
"""

import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from tests.chaos.house import House, until
from tests.chaos.merchant import Line, Sale
from tests.chaos.rest import hear_all
from tests.chaos.run import say
from tests.chaos.verifier import Violation
from tests.load.flood import Flood, Heard
from tests.load.runs import merchant_of, run
from tests.load.samples import MEMORY, look, processes

BOUNDS: Final = {"REQUESTS_MAX": "1000", "LANE_WAITING_MAX": "1500"}
IDLE_SALES: Final = 100
CAPACITY_S: Final = 5.0
CAPACITY_AT_ONCE: Final = 64
OVER_S_MAX: Final = 10.0
SAME_SPEED: Final = 3
"""It is over when five answers in a row took no longer than thrice the slowest of an idle house."""
IN_A_ROW: Final = 5
REST_S_MAX: Final = 120.0
EACH_S: Final = 0.5
_IN_FLIGHT: Final = re.compile(r"^topup_requests_in_flight (\S+)$", re.MULTILINE)


class Peak(msgspec.Struct, kw_only=True):
    """The most that was seen at once."""

    in_flight: float = 0
    on_lane: int = 0
    memory_mb: float = 0
    memory_mb_before: float = 0


class Over(msgspec.Struct, frozen=True, kw_only=True):
    """How long after the last request of the flood."""

    answers_s: float
    places_s: float
    lane_s: float


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a run leaves behind."""

    idle: list[Heard]
    capacity: float
    offered: float
    heard: list[Heard]
    peak: Peak
    over: Over
    violations: list[Violation]


class Overload:
    """One run in one house."""

    def __init__(self, *, times: float, seconds: float, folder: Path) -> None:
        self._times, self._seconds, self._folder = times, seconds, folder
        self._sold: list[Sale] = []
        self._lines: list[Line] = []
        self._peak = Peak()

    async def tell(self) -> Told:
        """Do all of it."""
        async with House(self._folder, kinds=("dedupes",), direct=True, settings=BOUNDS) as house:
            flood = Flood(house.public_port, house.keys["TOPUP_API_KEY"])
            idle = self._noted(await flood.keep_asking(self._sales(IDLE_SALES), at_once=1))
            capacity = await self._capacity(flood)
            await self._until_empty(house)
            self._peak.memory_mb_before = await self._gateways_mb(house)
            offered = self._times * capacity
            say(f"  {capacity:.0f} accepted/s at most; now {offered:.0f}/s")
            sales = self._sales(int(offered * self._seconds))
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch(house))
                heard = self._noted(await flood.pour(sales, per_s=offered))
                watching.cancel()
            over = await self._over(house, flood, slowest_s=max(one.seconds for one in idle))
            flood.close()
            violations = await self._verify(house, heard)
        return Told(
            idle=idle,
            capacity=capacity,
            offered=offered,
            heard=heard,
            peak=self._peak,
            over=over,
            violations=violations,
        )

    async def _capacity(self, flood: Flood) -> float:
        begun, accepted = time.monotonic(), 0
        while time.monotonic() - begun < CAPACITY_S:
            sales = self._sales(10 * CAPACITY_AT_ONCE)
            heard = self._noted(await flood.keep_asking(sales, at_once=CAPACITY_AT_ONCE))
            accepted += sum(one.is_accepted for one in heard)
        return accepted / (time.monotonic() - begun)

    async def _watch(self, house: House) -> None:
        while True:
            in_flight, waiting = (
                await self._in_flight(house),
                (await house.queue()).get("waiting", 0),
            )
            self._peak.in_flight = max(self._peak.in_flight, in_flight)
            self._peak.on_lane = max(self._peak.on_lane, waiting)
            self._peak.memory_mb = max(self._peak.memory_mb, await self._gateways_mb(house))
            await asyncio.sleep(EACH_S)

    async def _over(self, house: House, flood: Flood, *, slowest_s: float) -> Over:
        begun = time.monotonic()

        async def answers() -> float:
            in_a_row = 0
            while in_a_row < IN_A_ROW:
                (one,) = self._noted([await flood.ask(self._sales(1)[0])])
                fine = one.is_accepted and one.seconds <= SAME_SPEED * slowest_s
                in_a_row = in_a_row + 1 if fine else 0
                await asyncio.sleep(0.05)
            return time.monotonic() - begun

        async def places() -> float:
            async def are_free() -> bool:
                return await self._in_flight(house) <= 1  # the one that asks

            await until(are_free, within_s=REST_S_MAX)
            return time.monotonic() - begun

        async def lane() -> float:
            await self._until_empty(house)
            return time.monotonic() - begun

        async with asyncio.timeout(REST_S_MAX):
            answers_s, places_s, lane_s = await asyncio.gather(answers(), places(), lane())
        return Over(answers_s=answers_s, places_s=places_s, lane_s=lane_s)

    async def _until_empty(self, house: House) -> None:
        async def nearly() -> bool:
            waiting: int = (await house.queue()).get("waiting", IN_A_ROW + 1)
            return waiting <= IN_A_ROW

        await until(nearly, within_s=REST_S_MAX)

    async def _in_flight(self, house: House) -> float:
        """Return how many requests the fullest gateway answers now."""
        fullest = 0.0
        for row in await house.replicas("gateway"):
            url = f"http://127.0.0.1:{row.instance_port}/metrics"
            async with house.session.get(url) as answer:
                found = _IN_FLIGHT.search(await answer.text())
                fullest = max(fullest, float(found[1]) if found else 0.0)
        return fullest

    async def _gateways_mb(self, house: House) -> float:
        pids = {name: pid for name, pid in (await processes(house)).items() if "gateway" in name}
        return max(mb for (_, quantity), mb in look(pids).items() if quantity == MEMORY)

    async def _verify(self, house: House, heard: Sequence[Heard]) -> list[Violation]:
        """Let a merchant repeat what is not known, then hear everybody."""
        merchant = merchant_of(house)
        merchant.lines += self._lines
        for one in heard:
            if not one.is_known:
                await merchant.sell_one(one.sale)
        violations, _ = await hear_all(house, merchant, self._sold, rest_s=REST_S_MAX)
        await merchant.close()
        return violations

    def _sales(self, count: int) -> list[Sale]:
        first = len(self._sold)
        new = [Sale(f"flood-{n}", f"5566374{n % 900:03}", 10) for n in range(first, first + count)]
        self._sold += new
        return new

    def _noted(self, heard: list[Heard]) -> list[Heard]:
        self._lines += [line for one in heard for line in one.lines()]
        return heard


def print_verdict(told: Told, console: Console) -> bool:
    """Print it; return whether it held."""
    accepted = [one.seconds for one in told.heard if one.is_accepted]
    refused = [one.seconds for one in told.heard if one.status in (429, 503)]
    blind = [one for one in told.heard if one.status in (429, 503) and not one.retry_after]
    statuses = Counter(one.status for one in told.heard)
    rows = {
        "an answer of an idle house": _times([one.seconds for one in told.idle]),
        "capacity": f"{told.capacity:.0f} accepted/s",
        "offered": f"{told.offered:.0f}/s, {len(told.heard)} requests",
        "answered": ", ".join(f"{status or 'nothing'}: {n}" for status, n in statuses.items()),
        "accepted": f"{_times(accepted)}",
        "refused": f"{_times(refused)}, {len(blind)} without Retry-After",
        "in one gateway at once": f"{told.peak.in_flight:.0f} of {BOUNDS['REQUESTS_MAX']}",
        "on the lane": f"{told.peak.on_lane} of {BOUNDS['LANE_WAITING_MAX']}",
        "memory of one": f"{told.peak.memory_mb_before:.0f} MB, at most {told.peak.memory_mb:.0f}",
        "answers as before": f"{told.over.answers_s:.1f} s after the end",
        "no place taken": f"{told.over.places_s:.1f} s after the end",
        "the lane empty": f"{told.over.lane_s:.1f} s after the end",
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
    for violation in told.violations[:20]:
        say(f"✗ {violation.column}: {violation.whose}: {violation.seen}")
    over_s = max(told.over.answers_s, told.over.places_s, told.over.lane_s)
    fine = not (blind or told.violations or over_s > OVER_S_MAX)
    say("over in time, and every promise held" if fine else "BROKEN")
    return fine


def _times(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return f"{len(seconds)} of them"
    p99 = quantiles(seconds, n=100)[98]
    return f"p50 {median(seconds) * 1_000:.0f} ms, p99 {p99 * 1_000:.0f} ms"


def main() -> int:
    """Run once; 0: held, 1: not, 2: told nonsense."""

    def act(folder: Path, times: float, seconds: float) -> bool:
        told = uvloop.run(Overload(times=times, seconds=seconds, folder=folder).tell())
        return print_verdict(told, Console())

    return run("overload", {"TIMES": ("3", 0.0), "LENGTH": ("20", 0.0)}, act)


if __name__ == "__main__":
    sys.exit(main())
