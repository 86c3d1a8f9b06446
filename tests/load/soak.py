"""`make soak`: sell at a constant rate for long; nothing that a process holds may grow.

Streams and keys live for two minutes here, so that all of them come and go many times.
"""

import asyncio
import random
import sys
import time
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from tests.chaos.house import House, until
from tests.chaos.merchant import Merchant, Sale, sales
from tests.chaos.replaying import replay_changes
from tests.chaos.run import say
from tests.chaos.settings import DEADLINE_S
from tests.chaos.sources import (
    Sources,
    ledger_says,
    merchant_says,
    open_valkey,
    pending_says,
    providers_say,
    streams_say,
)
from tests.chaos.verifier import Violation, verify
from tests.load.runs import merchant_of, run
from tests.load.samples import (
    CONNECTIONS,
    DATA,
    FILES,
    MEMORY,
    Figures,
    look,
    look_inside,
    processes,
)
from tests.load.trend import Tolerance, Trend, trend
from tests.load.witness import Witness

PROVIDER: Final = "dedupes"
SHORT: Final = {"STREAM_RETENTION": "2m", "IDEMPOTENCY_WINDOW": "2m"}
WARM_S: Final = 200.0
"""Until the first entries were trimmed: two minutes, and the sweep of each minute."""
EACH_S: Final = 5.0
SAY_EACH: Final = 12
REST_S_MAX: Final = 120.0
LOOKS_MAX: Final = 2_000
MERCHANT_CONNECTIONS: Final = 64
"""His pool takes them in turn and so gives none up again: without a bound, it is his that grow."""
LOOKS_AT_ONCE: Final = 50
SEED: Final = 1
TOLERANCES: Final = {
    MEMORY: Tolerance(share=0.05, few=2.0),
    DATA: Tolerance(share=0.1, few=2.0),
    FILES: Tolerance(share=0.25, few=10.0),
    CONNECTIONS: Tolerance(share=0.25, few=10.0),
}
COUNTS: Final = Tolerance(share=0.25, few=100.0)
"""Lengths go up for a minute and down at once, with each trim."""
GROWS_BY_DESIGN: Final = {("provider", MEMORY): "all it was asked", ("postgres", FILES): "a cache"}
"""The stand-in is a witness; PostgreSQL keeps up to 1,000 files open in each of its processes."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a soak leaves behind."""

    trends: dict[tuple[str, str], Trend]
    restarted: list[str]
    violations: list[Violation]
    sources: Sources
    took_s: float


class Soak:
    """One run."""

    def __init__(self, *, minutes: float, rate: float, folder: Path) -> None:
        self._length_s = minutes * 60
        self._rate = rate
        self._folder = folder
        self._points: dict[tuple[str, str], list[tuple[float, float]]] = {}
        self._witness = Witness()

    async def tell(self) -> Told:
        """Do all of it.

        Raises:
            TimeoutError: it did not come to rest.
        """
        sold = list(sales(SEED, int(self._length_s * self._rate), provider=PROVIDER))
        async with House(self._folder, kinds=(PROVIDER,), direct=True, settings=SHORT) as house:
            merchant = merchant_of(house, connections_max=MERCHANT_CONNECTIONS)
            before, begun = await processes(house), time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                looking = tasks.create_task(self._keep_looking(house, begun))
                await merchant.sell(sold, per_s=self._rate)
                looking.cancel()
            took_s = time.monotonic() - begun
            after = await processes(house)
            await self._rest(house, merchant)
            sources = await self._hear(house, merchant, sold)
            replayed = await replay_changes(
                house.servers["valkey"].url, house.servers["postgres"].url
            )
            await merchant.close()
        return Told(
            trends={what: self._judge(what) for what in self._points},
            restarted=[name for name, pid in before.items() if after.get(name) != pid],
            violations=sorted({*verify(sources), *replayed}),
            sources=sources,
            took_s=took_s,
        )

    async def _keep_looking(self, house: House, begun: float) -> None:
        client, number_of_looks = open_valkey(house.servers["valkey"].url), 0
        while True:
            await asyncio.sleep(EACH_S)
            pids = await processes(house)
            figures: Figures = await asyncio.to_thread(look, pids)
            figures |= await asyncio.to_thread(look_inside, client)
            await asyncio.to_thread(self._witness.read_on, client)
            passed_s, number_of_looks = time.monotonic() - begun, number_of_looks + 1
            if passed_s >= WARM_S:
                for what, figure in figures.items():
                    self._points.setdefault(what, []).append((passed_s, figure))
            if number_of_looks % SAY_EACH == 0:
                say(f"  {passed_s / 60:.0f} min: {self._witness.settled} topups have ended")

    def _judge(self, what: tuple[str, str]) -> Trend:
        found = trend(self._points[what], TOLERANCES.get(what[1], COUNTS))
        return replace(found, grows=False) if what in GROWS_BY_DESIGN else found

    async def _rest(self, house: House, merchant: Merchant) -> None:
        """Wait until all that the merchant knows of has ended; a sale without a key may be none."""
        client = open_valkey(house.servers["valkey"].url)
        accepted = {line.topup_id for line in merchant.lines if line.topup_id}

        async def at_rest() -> bool:
            await asyncio.to_thread(self._witness.read_on, client)
            pending = await asyncio.to_thread(pending_says, house.servers["valkey"].url)
            return self._witness.has_heard(accepted) and not any(pending.values())

        await until(at_rest, within_s=REST_S_MAX, each_s=1.0)

    async def _hear(self, house: House, merchant: Merchant, sold: list[Sale]) -> Sources:
        """Ask anew for some of the topups; of all others the merchant hears what is booked."""
        told = merchant_says(sold, merchant.lines)
        ledger = await asyncio.to_thread(ledger_says, house.servers["postgres"].url)
        for heard in told.values():
            for topup_id in heard.ids[:1]:
                heard.at_last = ledger[topup_id].status if topup_id in ledger else None
        at_once = asyncio.Semaphore(LOOKS_AT_ONCE)

        async def ask(key: str) -> None:
            async with at_once:
                for topup_id in told[key].ids[:1]:
                    told[key].at_last = await merchant.look(topup_id)

        chosen = random.Random(SEED).sample(list(told), min(LOOKS_MAX, len(told)))
        await asyncio.gather(*map(ask, chosen))
        streams = await asyncio.to_thread(streams_say, house.servers["valkey"].url)
        return Sources(
            merchant=told,
            providers=providers_say(await house.provider_books()),
            ledger=ledger,
            streams=self._witness.complete(streams),
            deadline_ms=round(float(DEADLINE_S) * 1_000),
        )


def print_verdict(told: Told, console: Console) -> bool:
    """Print it; return whether nothing grew and every promise held."""
    table = Table(box=None, pad_edge=False)
    for column in ("process", "holds", "first third", "last third", "per hour", ""):
        table.add_column(column, justify="left" if column in ("process", "holds", "") else "right")
    for (process, quantity), found in sorted(told.trends.items()):
        verdict = "GROWS" if found.grows else "flat"
        verdict = GROWS_BY_DESIGN.get((process, quantity), verdict)
        figures = (f"{found.first:.1f}", f"{found.last:.1f}", f"{found.per_hour:+.1f}")
        table.add_row(process, quantity, *figures, verdict)
    console.print(table)
    ledger = told.sources.ledger
    say(f"{len(ledger)} topups in {told.took_s:.0f} s ({len(ledger) / told.took_s:.0f}/s)")
    for violation in told.violations[:20]:
        say(f"✗ {violation.column}: {violation.whose}: {violation.seen}")
    for name in told.restarted:
        say(f"✗ {name} was started again")
    growing = [" ".join(what) for what, found in told.trends.items() if found.grows]
    fine = not (growing or told.violations or told.restarted)
    say(
        "all flat, and every promise held"
        if fine
        else f"BROKEN: {', '.join(growing) or 'see above'}"
    )
    return fine


def main() -> int:
    """Run once; 0: flat, 1: not, 2: told nonsense."""

    def act(folder: Path, minutes: float, rate: float) -> bool:
        told = uvloop.run(Soak(minutes=minutes, rate=rate, folder=folder).tell())
        return print_verdict(told, Console())

    return run("soak", {"MINUTES": ("30", 6.0), "RATE": ("300", 0.0)}, act)


if __name__ == "__main__":
    sys.exit(main())
