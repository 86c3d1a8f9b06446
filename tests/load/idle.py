"""`make idle`: ten thousand connections that say nothing more, on one gateway.

Each asked once and was answered. What does one take, is a merchant answered as before, what becomes
of those beyond the bound, and are all of them closed when they should be?
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles
from typing import Final, cast

import msgspec
import uvloop

from shared.web.listener import IDLE_S
from tests.chaos.house import House, until
from tests.chaos.merchant import Sale
from tests.chaos.rest import hear_all
from tests.chaos.run import say
from tests.chaos.verifier import Violation
from tests.load.flood import Flood, Heard
from tests.load.runs import merchant_of, run
from tests.load.samples import CONNECTIONS, MEMORY, look, processes

ASKS: Final = b"GET /nothing HTTP/1.1\r\nhost: gateway\r\n\r\n"
ANSWER: Final = 404
ROOM: Final = 50
"""For the merchant and whoever looks, within the bound and beside the idle."""
BEYOND: Final = 200
SALES: Final = 200
AT_ONCE: Final = 100
CLOSED_LATE_S_MAX: Final = 10.0
SAME_SPEED: Final = 3
REST_S_MAX: Final = 120.0


class Idle(asyncio.Protocol):
    """A connection that asks once, and then tells only when it was answered and closed."""

    def __init__(self) -> None:
        self.status = 0
        self.answered_at = self.closed_at = 0.0
        self.told = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(ASKS)

    def data_received(self, data: bytes) -> None:
        if not self.status:
            self.status = int(data[9:12])
            self.answered_at = time.monotonic()
            self.told.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed_at = time.monotonic()
        self.told.set()

    @property
    def quiet_s(self) -> float:
        """How long after its answer it was closed."""
        return self.closed_at - self.answered_at


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a run leaves behind."""

    before: list[Heard]
    beside: list[Heard]
    idle: list[Idle]
    beyond: list[Idle]
    mb: tuple[float, float]
    held: int
    violations: list[Violation]


async def measure(folder: Path, count: int) -> Told:
    """Do all of it."""
    bound = {"CONNECTIONS_MAX": str(count + ROOM)}
    async with House(folder, kinds=("dedupes",), direct=True, settings=bound) as house:
        await house.scale("gateway", 1)
        await until(lambda: _are_gateways(house, 1), within_s=REST_S_MAX)
        flood = Flood(house.public_port, house.keys["TOPUP_API_KEY"])
        sold = [Sale(f"idle-{n}", f"5566374{n % 900:03}", 10) for n in range(2 * SALES)]
        before = await flood.keep_asking(sold[:SALES], at_once=1)
        mb = (await _held(house))[0]
        idle = await _open(house.public_port, count)
        mb_beside, held = await _held(house)
        say(f"  {held:.0f} connections are there")
        beside = await flood.keep_asking(sold[SALES:], at_once=1)
        beyond = await _open(house.public_port, BEYOND)
        flood.close()

        async def all_closed() -> bool:
            return all(one.closed_at for one in [*idle, *beyond])

        with suppress(TimeoutError):
            await until(all_closed, within_s=IDLE_S + 6 * CLOSED_LATE_S_MAX, each_s=1.0)
        merchant = merchant_of(house)
        merchant.lines += [line for one in [*before, *beside] for line in one.lines()]
        violations, _ = await hear_all(house, merchant, sold, rest_s=REST_S_MAX)
        await merchant.close()
    return Told(
        before=before, beside=beside, idle=idle, beyond=beyond, mb=(mb, mb_beside),
        held=round(held), violations=violations,
    )  # fmt: skip


async def _are_gateways(house: House, count: int) -> bool:
    return [row.state for row in await house.replicas("gateway")] == ["ready"] * count


async def _held(house: House) -> tuple[float, float]:
    """Return the gateway's own memory in MB, and its connections."""
    pids = {name: pid for name, pid in (await processes(house)).items() if "gateway" in name}
    figures = look(pids)
    (name,) = pids
    return figures[name, MEMORY], figures[name, CONNECTIONS]


async def _open(port: int, count: int) -> list[Idle]:
    """Open so many, some at a time, and wait until each was answered or closed."""
    loop, made, room = asyncio.get_running_loop(), list[Idle](), asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with room, asyncio.timeout(REST_S_MAX):
            with suppress(OSError):
                _, idle = await loop.create_connection(Idle, "127.0.0.1", port)
                made.append(idle)
                await idle.told.wait()

    await asyncio.gather(*(one() for _ in range(count)))
    return made


def print_verdict(told: Told, count: int) -> bool:
    """Print it; return whether it held."""
    served = [one for one in told.idle if one.status == ANSWER]
    left = [one for one in served if not one.closed_at]
    quiet_s = [one.quiet_s for one in served if one.closed_at]
    refused = [one for one in told.beyond if one.status != ANSWER]
    each_kb = (told.mb[1] - told.mb[0]) * 1_024 / max(len(served), 1)
    statuses = Counter(one.status or "nothing" for one in told.idle)
    say(f"idle: {len(served)} of {count} answered and kept, {told.held} held by the gateway")
    say(f"answered: {', '.join(f'{status}: {n}' for status, n in statuses.items())}")
    say(f"memory: {told.mb[0]:.0f} MB before, {told.mb[1]:.0f} beside: {each_kb:.1f} kB each")
    say(f"a topup's answer: before {_times(told.before)}; beside {_times(told.beside)}")
    say(f"beyond the bound: {len(refused)} of {BEYOND} refused, {ROOM} had room")
    if quiet_s:
        say(f"closed after {min(quiet_s):.1f} to {max(quiet_s):.1f} s; {len(left)} never")
    for violation in told.violations[:20]:
        say(f"✗ {violation.column}: {violation.whose}: {violation.seen}")
    fine = (
        len(quiet_s) == count
        and min(quiet_s) >= IDLE_S - 1
        and max(quiet_s) <= IDLE_S + CLOSED_LATE_S_MAX
        and len(refused) >= BEYOND - ROOM
        and all(one.is_accepted for one in [*told.before, *told.beside])
        and _middle_s(told.beside) <= SAME_SPEED * _middle_s(told.before)
        and not told.violations
    )
    say("every promise held" if fine else "BROKEN")
    return fine


def _middle_s(heard: Sequence[Heard]) -> float:
    return median(one.seconds for one in heard)


def _times(heard: Sequence[Heard]) -> str:
    p99 = quantiles((one.seconds for one in heard), n=100)[98]
    return f"p50 {_middle_s(heard) * 1_000:.0f} ms, p99 {p99 * 1_000:.0f} ms"


def main() -> int:
    """Run once; 0: held, 1: not, 2: told nonsense."""

    def act(folder: Path, count: float) -> bool:
        return print_verdict(uvloop.run(measure(folder, int(count))), int(count))

    return run("idle", {"COUNT": ("10000", 0.0)}, act)


if __name__ == "__main__":
    sys.exit(main())
