"""The admin's figures, put together from counters, lanes, heartbeats and the ledger's totals."""

from typing import Annotated, TypeVar

import msgspec

from services.gateway.merchant.replies import Money, Served, Success
from services.gateway.peers import Ledger
from shared.bus.queue import Queue, read_queue
from shared.bus.topups import Topups
from shared.contracts.limits import SILENT_MS
from shared.contracts.money import format_amount
from shared.contracts.peers import AGES, Limbo
from shared.runtime.clock import Clock
from shared.runtime.redis import Client

ShapeT = TypeVar("ShapeT", bound=msgspec.Struct)


class LaneShown(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's lane."""

    state: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["open", "held", "probing"]})]
    served: Served
    reason: str | None
    waiting: int
    active: int
    delayed: int
    oldest_waiting_seconds: int


class InstanceShown(msgspec.Struct, frozen=True, kw_only=True):
    """A replica that spoke in the last seconds."""

    id: str
    service: str
    active: int
    concurrency: int


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """Where all topups are, by state and by lane, and who is at work."""

    success: Success = True
    waiting: Annotated[int, msgspec.Meta(description="On a lane, not yet taken.")]
    active: Annotated[int, msgspec.Meta(description="Taken and in flight.")]
    delayed: Annotated[int, msgspec.Meta(description="Parked for a later attempt or inquiry.")]
    completed: Annotated[int, msgspec.Meta(description="Succeeded since the streams began.")]
    failed: int
    unresolved: int
    total: int
    lanes: dict[str, LaneShown]
    instances: list[InstanceShown]


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """How many topups, and their amounts by currency."""

    transactions: int
    volume: Money


class LimboShown(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one currency that has been in limbo for about as long."""

    currency: str
    age: Annotated[
        str, msgspec.Meta(description="Up to an hour, a day, a week; longer.",
                          extra_json_schema={"enum": list(AGES)})
    ]  # fmt: skip
    transactions: int
    volume: str


class Earnings(msgspec.Struct, frozen=True, kw_only=True):
    """What was sold: ever, since midnight in TIMEZONE, and what is in doubt."""

    success: Success = True
    total_transactions: Annotated[int, msgspec.Meta(description="Topups that succeeded.")]
    revenue: Money
    today: Volume
    unresolved: Volume
    limbo: Annotated[
        list[LimboShown], msgspec.Meta(description="The same by age, at most 5 s old.")
    ]


class Figures:
    """Reads what the admin wants to know."""

    def __init__(self, client: Client, topups: Topups, ledger: Ledger, clock: Clock) -> None:
        self._client = client
        self._topups = topups
        self._ledger = ledger
        self._clock = clock

    async def queue_stats(self) -> QueueStats:
        """Return where all topups are, by lane, and who is at work."""
        now_ms = self._clock.now_ms()
        queue = await read_queue(self._client, self._topups, now_ms=now_ms)
        return QueueStats(
            **msgspec.structs.asdict(queue.counts),
            total=queue.counts.total,
            lanes={name: _shown(lane, LaneShown) for name, lane in queue.lanes.items()},
            instances=instances_shown(queue),
        )

    async def totals(self) -> Earnings:
        """Return what was earned, with amounts as decimal text."""
        totals = await self._ledger.totals()
        return Earnings(
            total_transactions=totals.total_transactions,
            revenue=_formatted(totals.revenue),
            today=Volume(
                transactions=totals.today_transactions, volume=_formatted(totals.today_volume)
            ),
            unresolved=Volume(
                transactions=totals.unresolved_transactions,
                volume=_formatted(totals.unresolved_volume),
            ),
            limbo=[limbo_shown(one) for one in totals.limbo],
        )


def instances_shown(queue: Queue) -> list[InstanceShown]:
    """Return the replicas that spoke in the last seconds."""
    return [
        _shown(replica, InstanceShown)
        for replica in queue.replicas
        if replica.silent_ms <= SILENT_MS
    ]


def _shown(found: msgspec.Struct, shape: type[ShapeT]) -> ShapeT:
    return shape(**{name: getattr(found, name) for name in shape.__struct_fields__})


def limbo_shown(one: Limbo) -> LimboShown:
    """Return a sum for people."""
    volume = format_amount(one.amount_minor, one.currency)
    return LimboShown(
        currency=one.currency, age=one.age, transactions=one.transactions, volume=volume
    )


def _formatted(minor_by_currency: dict[str, int]) -> dict[str, str]:
    return {
        currency: format_amount(minor, currency) for currency, minor in minor_by_currency.items()
    }
