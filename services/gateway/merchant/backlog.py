"""How much waits on each lane, as of a moment ago: a lane that holds too much takes no more.

What is on a lane costs the streams' memory, and dies of its deadline if it is too far back: better
told to come again than accepted in vain.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog
from redis.exceptions import RedisError

from services.gateway.refusals import Unavailable
from shared.bus.topups import Topups
from shared.contracts.catalogue import OFFERS
from shared.contracts.errors import NotAccepted, NotKnown
from shared.contracts.states import State

COUNT_EACH_S: Final = 0.5
_WAITING: Final = (State.QUEUED, State.WAITING)

log = structlog.get_logger()


class Backlog:
    """The lanes' counts, over all partitions; between two counts each gateway fills its share.

    `gateways` says how many share what room there is.
    """

    def __init__(self, topups: Topups, *, waiting_max: int, gateways: Callable[[], int]) -> None:
        self._topups = topups
        self._waiting_max = waiting_max
        self._gateways = gateways
        self._waiting: dict[str, int] = {}
        self._passed: Counter[str] = Counter()

    def check(self, provider: str) -> None:
        """Let a topup pass to its lane.

        Raises:
            Unavailable: the lane is full; nothing was done.
        """
        if not self.has_room(provider):
            raise Unavailable(
                f"Nothing was accepted: too many topups wait for {provider}. "
                "Repeat it later, with the same Idempotency-Key"
            )
        self._passed[provider] += 1

    def has_room(self, provider: str) -> bool:
        """Tell whether `check` would let one pass."""
        room = self._waiting_max - self._waiting.get(provider, 0)
        return self._passed[provider] * self._gateways() < room

    async def count(self) -> None:
        """Count once.

        Raises:
            RedisError, OSError: the streams cannot be asked.
        """
        partitions = range(len(self._topups.keys))
        counters = [await self._topups.counters(partition) for partition in partitions]
        self._passed.clear()
        self._waiting = {
            provider: sum(
                counted.get(f"{state.value}:{provider}", 0)
                for counted in counters
                for state in _WAITING
            )
            for provider in OFFERS
        }

    async def keep_counted(self) -> None:
        """Count until cancelled; a count that fails leaves the last one."""
        while True:
            try:
                await self.count()
            except (RedisError, OSError, NotAccepted, NotKnown) as error:
                log.warning("backlog_not_counted", problem=str(error) or type(error).__name__)
            await asyncio.sleep(COUNT_EACH_S)
