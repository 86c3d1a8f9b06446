"""The admin's figures, put together from counters, lanes, heartbeats and the ledger's totals."""

from typing import Any, Final

import msgspec

from services.gateway.peers import Ledger
from shared.bus.queue import read_queue
from shared.bus.topups import Topups
from shared.contracts.limits import SILENT_MS
from shared.contracts.money import format_amount
from shared.runtime.clock import Clock
from shared.runtime.redis import Client

_LANE: Final = ("state", "reason", "waiting", "active", "delayed", "oldest_waiting_seconds")
_INSTANCE: Final = ("id", "service", "active", "concurrency")


class Figures:
    """Reads what the admin wants to know."""

    def __init__(self, client: Client, topups: Topups, ledger: Ledger, clock: Clock) -> None:
        self._client = client
        self._topups = topups
        self._ledger = ledger
        self._clock = clock

    async def queue_stats(self) -> dict[str, Any]:
        """Return where all topups are, by lane, and who is at work."""
        now_ms = self._clock.now_ms()
        queue = await read_queue(self._client, self._topups, now_ms=now_ms)
        return {
            "success": True,
            **msgspec.structs.asdict(queue.counts),
            "total": queue.counts.total,
            "lanes": {
                provider: {name: getattr(lane, name) for name in _LANE}
                for provider, lane in queue.lanes.items()
            },
            "instances": [
                {name: getattr(replica, name) for name in _INSTANCE}
                for replica in queue.replicas
                if replica.silent_ms <= SILENT_MS
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


def _formatted(minor_by_currency: dict[str, int]) -> dict[str, str]:
    return {
        currency: format_amount(minor, currency) for currency, minor in minor_by_currency.items()
    }
