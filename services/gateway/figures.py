"""The admin's figures, put together from counters, lanes, heartbeats and the ledger's totals."""

from typing import Any

import msgspec

from services.gateway.peers import Ledger
from shared.bus.beats import instances
from shared.bus.records import LaneState
from shared.bus.topups import Topups
from shared.contracts.catalogue import OFFERS
from shared.contracts.money import format_amount
from shared.contracts.states import State
from shared.contracts.streams import DISPATCHER_GROUP
from shared.runtime.clock import Clock
from shared.runtime.redis import Client

_SAID = {
    State.QUEUED: "waiting",
    State.ACTIVE: "active",
    State.WAITING: "delayed",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    State.UNRESOLVED: "unresolved",
}
"""In the record `waiting` is parked; for the admin that is `delayed`, and waiting is queued."""
assert set(_SAID) == set(State), "every state is counted somewhere"
_ON_LANE = (State.QUEUED, State.ACTIVE, State.WAITING)


class LaneFigures(msgspec.Struct, kw_only=True):
    """One provider's lane, over all partitions."""

    state: str = "open"
    reason: str | None = None
    waiting: int = 0
    active: int = 0
    delayed: int = 0
    oldest_waiting_seconds: int = 0


class Figures:
    """Reads what the admin wants to know."""

    def __init__(self, client: Client, topups: Topups, ledger: Ledger, clock: Clock) -> None:
        self._client = client
        self._topups = topups
        self._ledger = ledger
        self._clock = clock

    async def queue_stats(self) -> dict[str, Any]:
        """Return where all topups are, by lane, and who is at work."""
        sums = dict.fromkeys(_SAID.values(), 0)
        lanes = {provider: LaneFigures() for provider in OFFERS}
        now_ms = await self._topups.now_ms()
        for partition in range(len(self._topups.keys)):
            counters = await self._topups.counters(partition)
            held = await self._topups.lanes(partition)
            for state, name in _SAID.items():
                sums[name] += counters.get(state.value, 0)
            for provider, lane in lanes.items():
                _add(lane, provider, counters, held.get(provider))
                if counters.get(f"{State.QUEUED}:{provider}", 0) > 0:
                    age = await self._oldest_seconds(partition, provider, now_ms)
                    lane.oldest_waiting_seconds = max(lane.oldest_waiting_seconds, age)
        beats = await instances(self._client, now_ms=self._clock.now_ms())
        return {
            "success": True,
            **sums,
            "total": sum(sums.values()),
            "lanes": lanes,
            "instances": [
                {
                    "id": beat.id,
                    "service": beat.service,
                    "active": beat.active,
                    "concurrency": beat.concurrency,
                }
                for beat in beats
            ],
        }

    async def totals(self) -> dict[str, Any]:
        """Return what was earned, with amounts as decimal text."""
        totals = await self._ledger.totals()
        return {
            "success": True,
            "total_transactions": totals.total_transactions,
            "revenue": _formatted(totals.revenue),
            "today": {
                "transactions": totals.today_transactions,
                "volume": _formatted(totals.today_volume),
            },
            "unresolved": {
                "transactions": totals.unresolved_transactions,
                "volume": _formatted(totals.unresolved_volume),
            },
        }

    async def _oldest_seconds(self, partition: int, provider: str, now_ms: int) -> int:
        """Return the age of the first entry that no dispatcher has read."""
        stream = self._topups.keys[partition].requests(provider)
        groups = {row["name"]: row for row in await self._client.xinfo_groups(stream)}
        read_up_to = groups[DISPATCHER_GROUP.encode()]["last-delivered-id"].decode()
        entries = await self._client.xrange(stream, f"({read_up_to}", "+", count=1)
        if not entries:
            return 0
        since_ms = int(entries[0][0].decode().partition("-")[0])
        return max(now_ms - since_ms, 0) // 1_000


def _add(
    lane: LaneFigures, provider: str, counters: dict[str, int], held: LaneState | None
) -> None:
    for state in _ON_LANE:
        name = _SAID[state]
        here = counters.get(f"{state.value}:{provider}", 0)
        setattr(lane, name, getattr(lane, name) + here)
    if held is not None and held.state != "open":
        lane.state, lane.reason = held.state, held.reason


def _formatted(minor_by_currency: dict[str, int]) -> dict[str, str]:
    return {
        currency: format_amount(minor, currency) for currency, minor in minor_by_currency.items()
    }
