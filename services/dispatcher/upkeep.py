"""What a dispatcher does each second, with or without traffic: look, wake, take over, expire."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from typing import Final

from services.dispatcher.lanes import LaneWatch
from services.dispatcher.worker import Lane
from shared.bus.topups import Topups
from shared.contracts.limits import BATCH_MAX
from shared.runtime.upkeep import keep_up

MOVE_BATCHES_MAX: Final = 8
"""Of a held lane's unread entries, so many batches are looked through a second."""
MOVED: Final = ("woken", "moved", "held", "expired")
"""What leaves the front of those that are due; the rest would come again at once."""


class Upkeep:
    """The timers of a dispatcher."""

    def __init__(
        self, topups: Topups, watch: LaneWatch, lanes: Sequence[Lane], *, lease_ms_max: int
    ) -> None:
        self._topups = topups
        self._watch = watch
        self._lanes = lanes
        self._lost_ms = 2 * lease_ms_max
        self._unread: dict[tuple[str, int], str] = {}
        self._unmoved: dict[tuple[str, int], str] = {}

    async def run(self) -> None:
        """Tick until cancelled."""
        await keep_up(self._steps, until=asyncio.Event())

    def _steps(self, *, sweep: bool) -> Iterator[Awaitable[None]]:
        """Yield a tick's steps, each when its turn has come."""
        for partition in range(len(self._topups.keys)):
            yield self._watch.refresh(partition)
        for lane in self._lanes:
            yield lane.claim()
            if sweep:
                yield lane.claim_lost(self._lost_ms)
        for partition in range(len(self._topups.keys)):
            yield self._wake(partition)
            for lane in self._lanes:
                yield self._expire(lane.name, partition)

    async def _wake(self, partition: int) -> None:
        now_ms = await self._topups.now_ms(partition)
        while True:
            replies = await self._topups.wake_due(partition, now_ms=now_ms, count_max=BATCH_MAX)
            moved = sum(replies.get(reply, 0) for reply in MOVED)
            if not moved or sum(replies.values()) < BATCH_MAX:
                return

    async def _expire(self, provider: str, partition: int) -> None:
        """Nobody reads a held lane, but deadlines pass there too, and others may be open."""
        place = (provider, partition)
        if self._watch.startable(provider, partition):
            self._unread.pop(place, None)
            self._unmoved.pop(place, None)
            return
        for _ in range(MOVE_BATCHES_MAX):
            self._unmoved[place] = await self._topups.move_unread(
                partition, provider, after=self._unmoved.get(place, "0-0"), count_max=BATCH_MAX
            )
            if self._unmoved[place] == "0-0":
                break
        self._unread[place] = await self._topups.expire_unread(
            partition, provider, after=self._unread.get(place, "0-0"), count_max=BATCH_MAX
        )
