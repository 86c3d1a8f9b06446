"""What the gateway does on the streams: accept once and look up, each in shared round trips."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from redis.exceptions import RedisError

from services.gateway import metrics
from services.gateway.merchant.rules import Order
from services.gateway.refusals import MaybeAccepted, Unavailable
from shared.bus.messages import Acceptance, Accepted, ItemFailed
from shared.bus.records import LaneState, Record
from shared.bus.topups import Topups
from shared.contracts.catalogue import OFFERS
from shared.contracts.errors import (
    NotAccepted,
    NotKnown,
    Overloaded,
    PartitionsDiffer,
    Unverified,
)
from shared.contracts.events import encode
from shared.contracts.streams import partition_of
from shared.runtime.batching import Batcher
from shared.runtime.clock import Clock

PAUSE_S_MIN: Final = 0.05
PAUSE_S_MAX: Final = 0.4
LANES_S_MAX: Final = 1.0
LOOK_S_MAX: Final = 2.0
"""Longer than a record takes; who asked asks again. It ends before a connection's own deadlines."""

log = structlog.get_logger()

Accepting = Batcher[Acceptance, Accepted | ItemFailed]
Looking = Batcher[str, Record | ItemFailed | None]


class Bus:
    """The stream functions as the gateway uses them, batched by partition and lane."""

    def __init__(
        self, topups: Topups, clock: Clock, *, partitions: int, deliver_before_ms: int
    ) -> None:
        self._topups = topups
        self._clock = clock
        self._partitions = partitions
        self._accepting: dict[tuple[int, str], Accepting] = {
            (partition, provider): Batcher(self._accepts(partition, provider, deliver_before_ms))
            for partition in range(partitions)
            for provider in OFFERS
        }
        self._looking: list[Looking] = [
            Batcher(self._looks(partition)) for partition in range(partitions)
        ]
        self._lanes: dict[int, tuple[float, dict[str, LaneState]]] = {}

    async def accept(
        self, topup_id: str, order: Order, lanes: tuple[str, ...], *, deadline: float
    ) -> Accepted:
        """Put the order on its first lane, once; without an answer again with the same id.

        `deadline` is on the monotonic clock.

        Raises:
            Unavailable: surely nothing was accepted.
            MaybeAccepted: no answer until the deadline.
        """
        request = order.request
        batch = self._accepting[self._partition(request.customer_id), lanes[0]]
        item = Acceptance(
            id=topup_id,
            fingerprint=order.fingerprint,
            key_hash=order.key_hash,
            body=encode(request),
            route=lanes if request.route else (),
        )
        pause_s, in_doubt = PAUSE_S_MIN, False
        while True:
            try:
                within_s = max(deadline - self._clock.monotonic(), 0.0)
                return _answered(await batch(item, within_s=within_s))
            except (NotKnown, TimeoutError) as error:
                in_doubt, why = True, "not_known"
                problem = str(error) or type(error).__name__
            except (NotAccepted, Overloaded, PartitionsDiffer) as error:
                why, problem = "refused", str(error)
            metrics.ACCEPT_RETRIES.labels(why).inc()
            if self._clock.monotonic() + pause_s >= deadline:
                log.error("topup_not_accepted", topup_id=topup_id, why=why, problem=problem)
                raise _maybe(topup_id) if in_doubt else _nothing()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def look(self, customer_id: str, topup_id: str) -> Record | None:
        """Return the customer's topup as it is now; None if Redis does not have it (any more).

        Raises:
            Unavailable: the streams do not answer, or the record cannot be read.
            Unverified: they do, but what they have may be older than what was told already.
        """
        try:
            looking = self._looking[self._partition(customer_id)]
            found = await looking(topup_id, within_s=LOOK_S_MAX)
        except Unverified:
            raise
        except (NotAccepted, NotKnown, Overloaded, RedisError, TimeoutError) as error:
            raise Unavailable("The topup cannot be looked up right now; ask again") from error
        if isinstance(found, ItemFailed):
            log.error("record_unreadable", topup_id=topup_id, problem=found.text)
            raise Unavailable("The topup cannot be looked up right now; ask again")
        return found

    async def lane(self, customer_id: str, provider: str) -> LaneState:
        """Return the lane's state, as of about a second ago; open where that is unsure.

        One asks for all: whoever comes meanwhile is told what was known before.
        """
        partition = self._partition(customer_id)
        asked, lanes = self._lanes.get(partition, (float("-inf"), {}))
        if self._clock.monotonic() - asked > LANES_S_MAX:
            self._lanes[partition] = (self._clock.monotonic(), lanes)
            try:
                async with asyncio.timeout(LANES_S_MAX):
                    lanes = await self._topups.lanes(partition)
            except (RedisError, OSError) as error:  # a TimeoutError is one
                log.warning("lanes_not_read", problem=str(error) or type(error).__name__)
            self._lanes[partition] = (self._clock.monotonic(), lanes)
        return lanes.get(provider, LaneState())

    def _partition(self, customer_id: str) -> int:
        return partition_of(customer_id, self._partitions)

    def _accepts(
        self, partition: int, provider: str, deliver_before_ms: int
    ) -> Callable[[Sequence[Acceptance]], Awaitable[list[Accepted | ItemFailed]]]:
        async def run(items: Sequence[Acceptance]) -> list[Accepted | ItemFailed]:
            return await self._topups.accept(
                partition, provider, items, deliver_before_ms=deliver_before_ms
            )

        return run

    def _looks(
        self, partition: int
    ) -> Callable[[Sequence[str]], Awaitable[list[Record | ItemFailed | None]]]:
        async def run(ids: Sequence[str]) -> list[Record | ItemFailed | None]:
            return await self._topups.look(partition, ids)

        return run


def _answered(reply: Accepted | ItemFailed) -> Accepted:
    if isinstance(reply, ItemFailed):
        raise NotKnown(reply.text)  # it broke half-way: what it has written is not known
    return reply


def _nothing() -> Unavailable:
    return Unavailable(
        "Nothing was accepted: the topup could not be made durable. "
        "Repeat it, with the same Idempotency-Key"
    )


def _maybe(topup_id: str) -> MaybeAccepted:
    return MaybeAccepted(
        "It is not known whether the topup was accepted. Ask for topup_id, or repeat it with the "
        "same Idempotency-Key; a repeat without one may be a second topup",
        members={"topup_id": topup_id},
    )
