"""The lanes' states as this replica last saw them; a lane that is held is not even read."""

import asyncio
from collections.abc import Sequence

from services.dispatcher import metrics
from shared.bus.records import LaneState
from shared.bus.topups import Topups

OPEN = LaneState()


class LaneWatch:
    """Each second's view of every lane in every partition, by the server's clock."""

    def __init__(self, topups: Topups, *, providers: Sequence[str]) -> None:
        self._topups = topups
        self._providers = providers
        self._states: list[dict[str, LaneState]] = [{} for _ in topups.keys]
        self._told_held: set[tuple[str, int]] = set()
        self._now_ms = [0 for _ in topups.keys]
        self._seen = asyncio.Event()

    def state(self, provider: str, partition: int) -> LaneState:
        """Return the lane's state; a lane that was never held is open."""
        return self._states[partition].get(provider, OPEN)

    def is_open(self, provider: str, partition: int) -> bool:
        """Tell whether everything of the lane may start."""
        return self.startable(provider, partition) and (
            self.state(provider, partition).state == "open"
        )

    def startable(self, provider: str, partition: int) -> bool:
        """Tell whether anything of the lane may start; where it is not open, one topup tries."""
        if (provider, partition) in self._told_held:
            return False
        return self.state(provider, partition).startable(self._now_ms[partition])

    def tell_held(self, provider: str, partition: int) -> None:
        """Hear that the lane has been held meanwhile; so it is until the next view."""
        self._told_held.add((provider, partition))

    async def changed(self) -> None:
        """Wait for the next view."""
        await self._seen.wait()

    async def refresh(self, partition: int) -> None:
        """Look again, in one partition."""
        now_ms, lanes = await self._topups.now_ms(partition), await self._topups.lanes(partition)
        self._now_ms[partition], self._states[partition] = now_ms, lanes
        self._told_held = {place for place in self._told_held if place[1] != partition}
        for provider in self._providers:
            states = [self.state(provider, partition) for partition in range(len(self._states))]
            is_open = all(state.state == "open" for state in states)
            metrics.LANE_OPEN.labels(provider).set(is_open)
        self._seen.set()
        self._seen = asyncio.Event()
