"""Looks at streams and books for the live picture, and lays out what it saw as a frame."""

import asyncio
from collections import deque
from typing import Final

import msgspec
from redis.exceptions import RedisError

from services.gateway.admin.figures import Figures, instances_shown
from services.gateway.admin.lanes import lanes_shown
from services.gateway.page.ends import Ends
from services.gateway.page.frames import Counted, Ended, Flow, Frame, LaneLive, Point, Sold
from services.gateway.page.pulse import Pulse, Tally
from services.gateway.page.verdict import verdict
from services.gateway.peers import PeerSilent
from shared.bus.lanes import Lanes
from shared.bus.queue import Queue, read_queue
from shared.bus.topups import Topups
from shared.contracts.instants import timestamp
from shared.runtime.clock import Clock
from shared.runtime.redis import Client

POINTS_MAX: Final = 300
RECENT_MAX: Final = 25
STREAMS_S_MAX: Final = 2.0
BOOKS_EACH_S: Final = 3.0
_STREAMS_AWAY: Final = (RedisError, OSError, TimeoutError)


class Looking:
    """One who looks, from when somebody watches until nobody does; keeps the last minutes."""

    def __init__(
        self, client: Client, topups: Topups, figures: Figures, clock: Clock, *, gateway: str
    ) -> None:
        self._client = client
        self._topups = topups
        self._lanes = Lanes(client, topups)
        self._figures = figures
        self._clock = clock
        self._gateway = gateway
        self._ends = Ends(client, topups)
        self._pulse = Pulse()
        self._recent: deque[Ended] = deque(maxlen=RECENT_MAX)
        self._sold: Sold | None = None
        self._sold_at_s = float("-inf")
        self._books_away: str | None = None
        self.points: deque[Point] = deque(maxlen=POINTS_MAX)

    async def look(self) -> Frame:
        """Return what there is to see now; waits for nobody longer than some seconds."""
        unknown: dict[str, str] = {}
        flow, _ = await asyncio.gather(self._flow(unknown), self._ask_books())
        if self._books_away is not None:
            unknown["books"] = self._books_away
        frame = Frame(
            at=timestamp(self._clock.now_ms()),
            gateway=self._gateway,
            verdict=verdict(flow, books_away="books" in unknown),
            flow=flow,
            sold=None if "books" in unknown else self._sold,
            unknown=unknown,
        )
        rates, took = (flow.rates, flow.took) if flow else (None, None)
        self.points.append(Point(at=frame.at, rates=rates, took=took))
        return frame

    async def _ask_books(self) -> None:
        """Ask the ledger for its sums, more seldom: they cost it a query."""
        now_s = self._clock.monotonic()
        if now_s - self._sold_at_s < BOOKS_EACH_S:
            return
        self._sold_at_s = now_s
        try:
            totals = await self._figures.totals()
        except PeerSilent:
            self._books_away = "The books cannot be asked right now"
            return
        self._books_away = None
        self._sold = Sold(
            total_transactions=totals.total_transactions,
            today=totals.today,
            unresolved=totals.unresolved,
            limbo=totals.limbo,
        )

    async def _flow(self, unknown: dict[str, str]) -> Flow | None:
        try:
            async with asyncio.timeout(STREAMS_S_MAX):
                now_ms = self._clock.now_ms()
                queue = await read_queue(self._client, self._topups, now_ms=now_ms)
                states = await self._lanes.all()
                ended = await self._ends.read()
        except _STREAMS_AWAY:
            unknown["streams"] = "The streams cannot be asked right now"
            return None
        now_s = self._clock.monotonic()
        self._take(queue, ended, now_s)
        shown = [
            self._lane(msgspec.structs.asdict(lane), now_s) for lane in lanes_shown(queue, states)
        ]
        return Flow(
            counts=Counted(**msgspec.structs.asdict(queue.counts)),
            rates=self._pulse.rates(),
            took=self._pulse.took(now_s, self._pulse.providers),
            lanes=shown,
            instances=instances_shown(queue),
            recent=list(self._recent),
        )

    def _take(self, queue: Queue, ended: list[Ended], now_s: float) -> None:
        ends = {
            provider: (lane.completed, lane.failed, lane.unresolved)
            for provider, lane in queue.lanes.items()
        }
        self._pulse.count(Tally(now_s, queue.counts.total, ends))
        for one in ended:
            self._recent.appendleft(one)
            if one.took_ms is not None:
                self._pulse.time(now_s, one.provider, one.took_ms)

    def _lane(self, lane: dict[str, object], now_s: float) -> LaneLive:
        provider = str(lane["provider"])
        ended, share = self._pulse.share(provider)
        return msgspec.convert(
            {
                **lane,
                "ended": ended,
                "success_share": share,
                "took": self._pulse.took(now_s, [provider]),
            },
            LaneLive,
        )
