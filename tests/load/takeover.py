"""`make takeover`: kill a dispatcher with sends in flight, again and again; how soon do they go on?

All by the streams' own clock: from the last moment that the dispatcher lived to the outcome of what
it had in flight, less the time that the answer to a second send takes. The verifier has the last
word.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

import uvloop

from ops.supervisor.replica import Row
from tests.chaos.house import House, until
from tests.chaos.merchant import Merchant, Sale
from tests.chaos.rest import hear_all
from tests.chaos.run import say
from tests.chaos.sources import OUTCOMES, PREFIX, Client, entries, open_valkey
from tests.chaos.verifier import Violation
from tests.load.runs import merchant_of, run

LATENCY_MS: Final = 1_000
AT_ONCE: Final = 60
BUSY_S_MAX: Final = 20.0
REST_S_MAX: Final = 120.0
OVER_MS_MAX: Final = 6_000


class Killer:
    """Kills one dispatcher after the other in one house."""

    def __init__(self, house: House, merchant: Merchant, *, answer_ms: int) -> None:
        self._answer_ms = answer_ms
        self._house = house
        self._merchant = merchant
        self._client: Client = open_valkey(house.servers["valkey"].url)
        self.sold: list[Sale] = []

    async def kill(self) -> dict[str, int]:
        """Kill one with sends in flight; return how long each of them stood still, in ms."""
        first = len(self.sold)
        victim = await self._victim(first // AT_ONCE)
        assert victim.pid is not None
        self.sold += [Sale(f"takeover-{first + n}", "5566374683", 10) for n in range(AT_ONCE)]
        await asyncio.gather(*map(self._merchant.sell_one, self.sold[first:]))
        held: set[str] = set()

        async def is_busy() -> bool:
            held.update(self._held_by(victim.id))
            return bool(held)

        await until(is_busy, within_s=BUSY_S_MAX, each_s=0.02)
        seconds, micros = self._client.time()
        os.kill(victim.pid, signal.SIGSTOP)
        await asyncio.sleep(0.1)  # what it had said last is on its way
        held = self._held_by(victim.id)
        os.kill(victim.pid, signal.SIGKILL)
        await self._until_all_ended()
        gone_ms = seconds * 1_000 + micros // 1_000 + self._answer_ms
        ended = {
            fields["id"]: int(entry.partition("-")[0])
            for entry, fields in entries(self._client, OUTCOMES)
        }
        return {topup_id: ended[topup_id] - gone_ms for topup_id in held}

    async def _victim(self, turn: int) -> Row:
        """Return one after the other, once all of them are there again."""
        rows: list[Row] = []

        async def all_are_ready() -> bool:
            rows[:] = await self._house.replicas("dispatcher")
            return bool(rows) and all(row.state == "ready" for row in rows)

        await until(all_are_ready, within_s=BUSY_S_MAX)
        return rows[turn % len(rows)]

    def _held_by(self, instance: str) -> set[str]:
        held = set()
        for key in self._client.scan_iter(f"{PREFIX}record:*", count=1_000):
            state, owner = self._client.hmget(key, "state", "owner")
            if state == "active" and owner.partition("#")[0] == instance:
                held.add(key.rpartition(":")[2])
        return held

    async def _until_all_ended(self) -> None:
        async def all_have() -> bool:
            stats = await self._house.queue()
            return not sum(stats.get(name, 1) for name in ("waiting", "active", "delayed"))

        await until(all_have, within_s=REST_S_MAX)


async def measure(provider: str, kills: int, folder: Path) -> tuple[list[int], list[Violation]]:
    """Return how long what was in flight stood still, over all kills, and what was broken."""
    async with House(folder, kinds=(provider,), latency=str(LATENCY_MS), direct=True) as house:
        merchant = merchant_of(house)
        answer_ms = LATENCY_MS if provider == "dedupes" else 0  # it is asked, not sent again
        killer, stood_ms = Killer(house, merchant, answer_ms=answer_ms), list[int]()
        for _ in range(kills):
            stood_ms += (await killer.kill()).values()
        violations, _ = await hear_all(house, merchant, killer.sold, rest_s=REST_S_MAX)
        await merchant.close()
    return stood_ms, violations


def print_verdict(provider: str, stood_ms: Sequence[int], violations: Sequence[Violation]) -> bool:
    """Print it; return whether it held."""
    for violation in violations[:20]:
        say(f"✗ {violation.column}: {violation.whose}: {violation.seen}")
    say(
        f"{provider}: {len(stood_ms)} in flight in what was killed, taken over after "
        f"p50 {median(stood_ms) / 1_000:.1f} s, max {max(stood_ms) / 1_000:.1f} s"
    )
    return not violations and max(stood_ms) <= OVER_MS_MAX


def main() -> int:
    """Measure both kinds of provider that let somebody take over; 0: within 6 s, 1: not."""

    def act(folder: Path, kills: float) -> bool:
        fine = [
            print_verdict(provider, *uvloop.run(measure(provider, int(kills), folder / provider)))
            for provider in ("dedupes", "inquiry")
        ]
        return all(fine)

    return run("takeover", {"KILLS": ("10", 0.0)}, act)


if __name__ == "__main__":
    sys.exit(main())
