"""Shows what nobody counts by itself: how old, how far behind, how full, how safe the streams are.

It goes on while PostgreSQL is away, and never on a topup's way.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from prometheus_client import Gauge
from redis.exceptions import RedisError

from services.ledger import metrics
from shared.bus.topups import Topups
from shared.bus.unfinished import Unfinished, read_unfinished
from shared.contracts.errors import TopupError
from shared.contracts.streams import LEDGER_GROUP
from shared.runtime.redis import Client
from shared.runtime.worth import durability, refuses_writes, room

log = structlog.get_logger()

SHOW_EACH_S: Final = 5.0
SHOW_S_MAX: Final = 15.0
"""A server may be deaf."""
PASSING: Final = (RedisError, OSError, TopupError)
_SAFE: Final = {"fsync": 1.0, "replicated": 1.0, "at risk": 0.0}
_OF_UNFINISHED: Final = (
    metrics.OLDEST_UNFINISHED_AGE_SECONDS, metrics.LANE_TOPUPS, metrics.UNREAD, metrics.PENDING,
    metrics.UNBOOKED_AGE_SECONDS, metrics.CONSERVATION_ERROR,
)  # fmt: skip
_OF_SERVER: Final = (
    metrics.STREAMS_DURABLE, metrics.STREAMS_WRITABLE, metrics.MEMORY_USED_BYTES,
    metrics.MEMORY_MAX_BYTES, metrics.DISK_FREE_BYTES, metrics.DISK_SIZE_BYTES,
)  # fmt: skip
_LABELLED: Final = _OF_UNFINISHED[:4]


class Gauges:
    """What one ledger sees of the streams; what it cannot see it does not tell."""

    def __init__(self, client: Client, topups: Topups, *, providers: Sequence[str]) -> None:
        self._client = client
        self._topups = topups
        self._providers = providers
        _forget((*_OF_UNFINISHED, *_OF_SERVER))

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        while True:
            await self.show()
            await asyncio.sleep(SHOW_EACH_S)

    async def show(self) -> None:
        """Look once; what could not be looked at is unknown from now on."""
        await _show_or_forget(self._show_unfinished, _OF_UNFINISHED)
        await _show_or_forget(self._show_server, _OF_SERVER)

    async def _show_unfinished(self) -> None:
        _show(await read_unfinished(self._client, self._topups, providers=self._providers))

    async def _show_server(self) -> None:
        """Of a cluster show the worst: what one primary cannot do is not done for its customers."""
        trials = [names.trials for names in self._topups.keys]
        keys = [group[0] for group in await self._client.by_server(trials)]
        refusals = [await refuses_writes(self._client, key=key) for key in keys]
        metrics.STREAMS_WRITABLE.set(not any(refusals))
        replicas = self._topups.replicas
        safe = [await durability(self._client, replicas=replicas, key=key) for key in keys]
        metrics.STREAMS_DURABLE.set(min((_SAFE.get(one, math.nan) for one in safe), key=_rank))
        rooms = [await room(await self._client.at(key)) for key in keys]
        has = max(rooms, key=lambda one: one.memory_used / (one.memory_max or math.inf))
        metrics.MEMORY_USED_BYTES.set(has.memory_used)
        metrics.MEMORY_MAX_BYTES.set(has.memory_max or math.nan)
        has = min(rooms, key=lambda one: math.inf if one.disk_free is None else one.disk_free)
        metrics.DISK_FREE_BYTES.set(math.nan if has.disk_free is None else has.disk_free)
        metrics.DISK_SIZE_BYTES.set(has.disk_size or math.nan)


def _rank(safe: float) -> float:
    """What is unknown is worse than what is safe, and better than what is not."""
    return 0.5 if math.isnan(safe) else safe


async def _show_or_forget(show: Callable[[], Awaitable[None]], gauges: Sequence[Gauge]) -> None:
    try:
        async with asyncio.timeout(SHOW_S_MAX):
            await show()
    except PASSING as problem:
        log.warning("gauges_not_shown", problem=str(problem) or type(problem).__name__)
        _forget(gauges)


def _forget(gauges: Sequence[Gauge]) -> None:
    """Tell nothing: an old figure would look as if all were as it was."""
    for gauge in gauges:
        if gauge in _LABELLED:
            gauge.clear()
        else:
            gauge.set(math.nan)


def _show(seen: Unfinished) -> None:
    for provider, states in seen.lanes.items():
        for state, count in states.items():
            metrics.LANE_TOPUPS.labels(provider, state).set(count)
    for provider, age_ms in seen.oldest_age_ms.items():
        metrics.OLDEST_UNFINISHED_AGE_SECONDS.labels(provider).set(age_ms / 1_000)
    unbooked_ms = 0
    for (stream, group), behind in seen.groups.items():
        unread = math.nan if behind.unread is None else behind.unread
        metrics.UNREAD.labels(stream, group).set(unread)
        metrics.PENDING.labels(stream, group).set(behind.pending)
        if group == LEDGER_GROUP:
            unbooked_ms = max(unbooked_ms, behind.oldest_age_ms)
    metrics.UNBOOKED_AGE_SECONDS.set(unbooked_ms / 1_000)
    metrics.CONSERVATION_ERROR.set(seen.conservation_error)
