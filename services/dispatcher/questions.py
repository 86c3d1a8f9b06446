"""Asks again about unresolved topups where the provider can be asked; it never sends anything.

The books put them on a schedule (`shared/bus/limbo.py`), each pause about twice the one before. A
yes settles its topup as any late answer does (`finish`), a no as people do (`resolve`): only if it
was asked for after the quarantine, and nobody says meanwhile that it was paid.
"""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from typing import Final

import structlog

from services.dispatcher import metrics
from services.dispatcher.attempts import Sold, new_nonce
from services.dispatcher.lanes import LaneWatch
from services.dispatcher.providers.adapter import Answer, Provider, Unknown
from services.dispatcher.rules import Finish, after_asking, named, reference_of
from services.dispatcher.steps import Steps
from services.dispatcher.told import outcome_of
from shared.bus.limbo import Schedule
from shared.bus.records import Record
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.contracts.events import encode
from shared.contracts.states import State
from shared.runtime.upkeep import keep_up

log = structlog.get_logger()

AT_ONCE: Final = 4
"""Questions that one replica puts to one provider at a time, and in a second."""


class Questions:
    """One lane's questions; `steps` are those of each partition."""

    def __init__(  # noqa: PLR0913 - a composition: each part has a name and a place
        self,
        provider: Provider,
        *,
        topups: Topups,
        schedule: Schedule,
        steps: Sequence[Steps],
        watch: LaneWatch,
        owner: str,
        by: str,
    ) -> None:
        self._provider = provider
        self._name = provider.facts.name
        self._topups = topups
        self._schedule = schedule
        self._steps = steps
        self._watch = watch
        self._owner = owner
        self._by = by

    async def run(self) -> None:
        """Ask each second until cancelled; what is cut off is asked again."""
        await keep_up(self.turns, until=asyncio.Event())

    def turns(self, *, sweep: bool = False) -> Iterator[Awaitable[None]]:
        """Yield a turn of each partition whose lane is open."""
        del sweep
        for partition in range(len(self._steps)):
            if self._watch.is_open(self._name, partition):
                yield self._turn(partition)

    async def _turn(self, partition: int) -> None:
        now_ms = await self._topups.now_ms(partition)
        due = await self._schedule.take(partition, self._name, now_ms=now_ms, count_max=AT_ONCE)
        await asyncio.gather(*(self._ask(partition, record, now_ms) for record in due))

    async def _ask(self, partition: int, record: Record, asked_at_ms: int) -> None:
        """Put one question; `asked_at_ms` is by the server's clock, and surely not after it."""
        facts = self._provider.facts
        if record.lane != self._name or (facts.reference_per_attempt and not record.sent):
            return  # nobody knows what it was sent as
        sold = _sold(record)
        answer = await self._answer(sold, reference_of(facts, record.id, record.sent))
        said = named(answer)
        metrics.QUESTIONS.labels(self._name, said).inc()
        verdict = after_asking(
            answer,
            may_deny=record.doubt != "many" and asked_at_ms > record.quarantine_until_ms,
            facts=facts,
            attempt=record.sent,
            by=self._by,
        )
        reply = None
        if verdict is not None:
            reply = await self._settle(partition, record, sold, verdict, asked_at_ms)
        log.info(
            "unresolved_asked", topup_id=record.id, provider=self._name, answer=said, reply=reply
        )

    async def _answer(self, sold: Sold, reference: str) -> Answer:
        try:
            return await self._provider.inquire(sold, reference)
        except Exception as problem:
            log.exception("adapter_failed", topup_id=sold.topup_id, provider=self._name)
            return Unknown(reason=type(problem).__name__)

    async def _settle(
        self, partition: int, record: Record, sold: Sold, verdict: Finish, asked_at_ms: int
    ) -> str:
        evidence = verdict.evidence
        if verdict.to is State.SUCCEEDED:
            outcome = outcome_of(sold, new_nonce(), verdict)
            return (await self._steps[partition].finish(outcome))[0]
        reply, _ = await self._topups.resolve(
            partition,
            record,
            to=verdict.to,
            asked_at_ms=asked_at_ms,
            provider_reference="",
            evidence=encode(evidence),
            act=act_by(self._owner, why=f"the provider was asked again: refused, {evidence.code}"),
            proposal="",
        )
        return reply


def _sold(record: Record) -> Sold:
    request = record.request
    return Sold(
        topup_id=record.id,
        phone=request.phone,
        country=request.country,
        amount_minor=request.amount_minor,
        currency=request.currency,
        product=record.sold_by[1],
        key_hash=request.key_hash,
    )
