"""Begin, finish and park of one lane in one partition: batched, and repeated until answered."""

import asyncio
from collections.abc import Sequence
from typing import Final, TypeVar

import structlog

from shared.bus.messages import Begun, Handing, ItemFailed, Outcome, Parking, Restoring, Terms, Work
from shared.bus.topups import Topups
from shared.bus.trust import Trust
from shared.contracts.errors import NotAccepted, NotDurable, NotKnown, TopupError
from shared.runtime.batching import Batcher

log = structlog.get_logger()

AGAIN_FIRST_S: Final = 0.05
AGAIN_S_MAX: Final = 1.0
GATHER_S: Final = 0.005
"""How long an end waits for others: who waits for it has waited for a provider."""

ItemT = TypeVar("ItemT")
ReplyT = TypeVar("ReplyT")


class StepFailed(TopupError):
    """The function could not handle this topup; the others of its batch are fine."""

    code = "step_failed"


class Steps:
    """The steps of a lane's topups; the functions know a nonce again, so each may be repeated."""

    def __init__(
        self,
        topups: Topups,
        trust: Trust,
        *,
        partition: int,
        provider: str,
        owner: str,
        terms: Terms,
    ) -> None:
        async def begin(items: Sequence[Work]) -> list[Begun | ItemFailed]:
            return await topups.begin(partition, provider, items, owner=owner, terms=terms)

        async def finish(items: Sequence[Outcome]) -> list[tuple[str, str] | ItemFailed]:
            return await topups.finish(partition, provider, items, terms=terms)

        async def park(items: Sequence[Parking]) -> list[tuple[str, int] | ItemFailed]:
            return await topups.park(partition, provider, items, terms=terms)

        async def restore(items: Sequence[Restoring]) -> list[tuple[str, str] | ItemFailed]:
            return await trust.restore(partition, provider, items)

        async def hand_on(items: Sequence[Handing]) -> list[tuple[str, str] | ItemFailed]:
            return await topups.hand_on(partition, provider, items, terms=terms)

        self._replicated = topups.replicas > 0
        self._begin = Batcher(begin)
        self._finish = Batcher(finish, gather_s=GATHER_S)
        self._park = Batcher(park)
        self._restore = Batcher(restore)
        self._hand_on = Batcher(hand_on)

    async def begin(self, work: Work) -> tuple[Begun, bool]:
        """Return what may be done, and whether the attempt is on all the disks it must be on.

        After a reconnect WAITAOF proves nothing, so with replicas a repeated begin is not durable.
        """
        again_s = AGAIN_FIRST_S
        durable = True
        while True:
            try:
                return _fine(await self._begin(work)), durable
            except (NotKnown, NotAccepted) as problem:
                durable = durable and not (self._replicated and isinstance(problem, NotKnown))
                again_s = await _later("begin", again_s, problem)

    async def finish(self, outcome: Outcome) -> tuple[str, str]:
        """Return the reply and the state that the topup is in; keeps the answer until then."""
        return await _until_known("finish", self._finish, outcome)

    async def park(self, parking: Parking) -> tuple[str, int]:
        """Return the reply and the delay granted."""
        return await _until_known("park", self._park, parking)

    async def hand_on(self, handing: Handing) -> tuple[str, str]:
        """Return the reply and the lane that has the topup now, where it was moved."""
        return await _until_known("hand_on", self._hand_on, handing)

    async def restore(self, restoring: Restoring) -> tuple[str, str]:
        """Return the reply and the state; for a topup whose record the server has lost."""
        return await _until_known("restore", self._restore, restoring)


async def _until_known(
    step: str, batcher: Batcher[ItemT, ReplyT | ItemFailed], item: ItemT
) -> ReplyT:
    again_s = AGAIN_FIRST_S
    while True:
        try:
            return _fine(await batcher(item))
        except (NotKnown, NotAccepted, NotDurable) as problem:
            again_s = await _later(step, again_s, problem)


async def _later(step: str, again_s: float, problem: TopupError) -> float:
    log.warning("step_unanswered", step=step, code=problem.code, problem=str(problem))
    await asyncio.sleep(again_s)
    return min(again_s * 2, AGAIN_S_MAX)


def _fine(reply: ReplyT | ItemFailed) -> ReplyT:
    if isinstance(reply, ItemFailed):
        raise StepFailed(reply.text)
    return reply
