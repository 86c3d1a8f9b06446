"""The figures of `topup status`, from both servers at once; the one that is away is unknown."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from ops.books import open_database
from ops.errors import CommandFailed
from ops.streams import open_streams
from services.ledger.store import Past
from shared.bus.queue import Queue, read_queue
from shared.contracts.peers import Totals
from shared.runtime.clock import Clock
from shared.runtime.worth import TRIALS_KEY, durability_set

LOOK_S_MAX: Final = 8.0
PartT = TypeVar("PartT")


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What the streams say."""

    queue: Queue
    durability: str


class Sold(msgspec.Struct, frozen=True, kw_only=True):
    """What the books say."""

    totals: Totals
    unresolved_since_ms: int | None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One look; a part is None where its server is away, and `unknown` says why."""

    at_ms: int
    timezone: str
    flow: Flow | None
    sold: Sold | None
    unknown: dict[str, str]


async def look(clock: Clock, *, timezone: str) -> Figures:
    """Return all figures that can be had; changes nothing."""
    unknown: dict[str, str] = {}
    flow, sold = await asyncio.gather(
        or_unknown("redis", _flow, unknown),
        or_unknown("database", lambda: _sold(clock, timezone), unknown),
    )
    return Figures(at_ms=clock.now_ms(), timezone=timezone, flow=flow, sold=sold, unknown=unknown)


async def or_unknown(
    server: str, ask: Callable[[], Awaitable[PartT]], unknown: dict[str, str]
) -> PartT | None:
    """Return the answer; None where there is none, and `unknown` says why."""
    try:
        async with asyncio.timeout(LOOK_S_MAX):
            return await ask()
    except CommandFailed as problem:
        unknown[server] = str(problem)
    except TimeoutError:
        unknown[server] = f"no answer within {LOOK_S_MAX:.0f} s"
    return None


async def _flow() -> Flow:
    async with open_streams() as streams:
        return Flow(
            # by the server's clock: that of whoever looks may be anywhere
            queue=await read_queue(
                streams.client, streams.topups, now_ms=await streams.topups.now_ms()
            ),
            durability=await durability_set(await streams.client.at(TRIALS_KEY)),
        )


async def _sold(clock: Clock, timezone: str) -> Sold:
    async with open_database() as database:
        past = Past(database, clock, timezone=timezone)
        return Sold(
            totals=await past.totals(), unresolved_since_ms=await past.unresolved_since_ms()
        )
