"""Joins the parts of a dispatcher; opens nothing until it is told to."""

import asyncio
from functools import partial
from typing import Any

from services.dispatcher import metrics, stall
from services.dispatcher.carrier import Carrier
from services.dispatcher.lanes import LaneWatch
from services.dispatcher.providers import providers
from services.dispatcher.providers.adapter import Provider
from services.dispatcher.questions import Questions
from services.dispatcher.rules import ANSWERS, kind_of, quarantine_of, resend_window_of
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.slots import Slots
from services.dispatcher.steps import Steps
from services.dispatcher.upkeep import Upkeep
from services.dispatcher.worker import Lane
from shared.bus.beats import Heart
from shared.bus.limbo import Schedule
from shared.bus.messages import Terms
from shared.bus.reader import GroupReader
from shared.bus.topups import Topups
from shared.bus.trust import Trust
from shared.contracts.limits import lease_ms
from shared.contracts.streams import DISPATCHER_GROUP
from shared.runtime.background import end
from shared.runtime.clock import Clock
from shared.runtime.crashpoints import crash_points
from shared.runtime.instance import Instance
from shared.runtime.redis import connect
from shared.runtime.waiting import until_done
from shared.web.checks import database_check, queue_check, redis_check
from shared.web.health import Health
from shared.web.listener import Listener


class Dispatcher:
    """One replica: a lane for each provider, a heart, upkeep, and the bound on its pauses."""

    def __init__(self, settings: DispatcherSettings, instance: Instance, clock: Clock) -> None:
        self._settings = settings
        self._providers = providers(settings)
        reads_max = len(self._providers) * settings.stream_partitions
        self._client = connect(settings.redis_url, reads_max=reads_max)
        self._topups = Topups(
            self._client,
            partitions=settings.stream_partitions,
            window_ms=settings.idempotency_window_ms,
            replicas=settings.redis_replicas,
        )
        self._draining = asyncio.Event()
        self._slots = {name: Slots(settings.queue_concurrency) for name in self._providers}
        self._watch = LaneWatch(self._topups, providers=list(self._providers))
        made = self._providers.values()
        self._lanes = [self._lane(provider, instance, clock) for provider in made]
        self._questions = [self._asking(one, instance) for one in made if one.facts.inquiry]
        self._heart = Heart(
            self._client,
            instance,
            clock,
            partitions=settings.stream_partitions,
            interval_ms=settings.heartbeat_ms,
            say=self._say,
        )
        leases = [self._terms(provider).lease_ms for provider in made]
        self._upkeep = Upkeep(self._topups, self._watch, self._lanes, lease_ms_max=max(leases))
        self._background: list[asyncio.Task[None]] = []
        self._reading: list[asyncio.Task[None]] = []
        self._asked: list[asyncio.Task[None]] = []
        self.listeners: list[Listener] = []
        self.health = self._health(instance, clock)
        for name, slots in self._slots.items():
            metrics.IN_FLIGHT.labels(name).set_function(slots.taken)
            for answer in ANSWERS:
                metrics.attempts(name, answer)  # is 0, not nothing, before the first

    async def open(self) -> None:
        """Make the streams, beat, then read."""
        await until_done("redis_not_reached", self._prepare)
        self._background = [
            asyncio.create_task(stall.guard(self._settings.stall_ms)),
            asyncio.create_task(self._heart.run()),
            asyncio.create_task(self._upkeep.run()),
        ]
        self._reading = [asyncio.create_task(lane.run()) for lane in self._lanes]
        self._asked = [asyncio.create_task(asking.run()) for asking in self._questions]

    async def _prepare(self) -> None:
        for name in self._providers:
            await self._topups.prepare(name)
        await self._heart.beat()
        for partition in range(self._settings.stream_partitions):
            await self._watch.refresh(partition)

    async def close(self) -> None:
        """Read no more, carry what is in flight to its end, then leave the living."""
        self._draining.set()
        await end(self._asked)  # a provider may take a minute, and each question comes again
        await asyncio.gather(*self._reading)
        await asyncio.gather(*(lane.drain() for lane in self._lanes))
        await end(self._background)
        if self._background:
            await self._heart.stop()
        for provider in self._providers.values():
            await provider.close()
        await self._client.aclose()

    def _steps(self, provider: Provider, partition: int, instance: Instance) -> Steps:
        return Steps(
            self._topups,
            Trust(self._client, self._topups),
            partition=partition,
            provider=provider.facts.name,
            owner=instance.owner,
            terms=self._terms(provider),
        )

    def _asking(self, provider: Provider, instance: Instance) -> Questions:
        return Questions(
            provider,
            topups=self._topups,
            schedule=Schedule(self._client, self._topups),
            steps=[
                self._steps(provider, partition, instance)
                for partition in range(self._settings.stream_partitions)
            ],
            watch=self._watch,
            owner=instance.owner,
            by=instance.id,
        )

    def _lane(self, provider: Provider, instance: Instance, clock: Clock) -> Lane:
        settings, name = self._settings, provider.facts.name
        crash = crash_points(settings.crash_at, environment=settings.environment)
        carriers = [
            Carrier(
                provider=provider,
                topups=self._topups,
                partition=partition,
                steps=self._steps(provider, partition, instance),
                by=instance.id,
                resend=settings.resend_after_inquiry,
                clock=clock,
                crash=crash,
                on_held=partial(self._watch.tell_held, name, partition),
            )
            for partition in range(settings.stream_partitions)
        ]
        return Lane(
            name,
            topups=self._topups,
            reader=GroupReader(self._client, group=DISPATCHER_GROUP, consumer=instance.owner),
            carriers=carriers,
            slots=self._slots[name],
            watch=self._watch,
            draining=self._draining,
            crash=crash,
        )

    def _health(self, instance: Instance, clock: Clock) -> Health:
        return Health(
            instance,
            clock,
            checks={
                "redis": redis_check(self._client, self._topups),
                "database": database_check(self._client, clock),
                "queue": queue_check(self._topups),
            },
            essential=frozenset({"redis"}),
        )

    def _terms(self, provider: Provider) -> Terms:
        facts = provider.facts
        return Terms(
            kind=kind_of(facts),
            lease_ms=lease_ms(
                connect_ms=facts.connect_timeout_ms,
                login_ms=facts.login_timeout_ms,
                answer_ms=facts.answer_timeout_ms,
                stall_ms=self._settings.stall_ms,
            ),
            quarantine_ms=quarantine_of(facts),
            dedupe_window_ms=resend_window_of(facts),
            refusal_covers=facts.refusal_covers,
            hold_ms=self._settings.breaker_hold_ms,
            breaker=self._settings.breaker_failures,
        )

    def _say(self) -> dict[str, Any]:
        return {
            "active": sum(slots.taken() for slots in self._slots.values()),
            "concurrency": self._settings.queue_concurrency,
            "lanes": list(self._providers),
            "asks": [name for name, one in self._providers.items() if one.facts.inquiry],
        }


def build(settings: DispatcherSettings, instance: Instance, clock: Clock) -> Dispatcher:
    """Return a dispatcher ready to be opened."""
    return Dispatcher(settings, instance, clock)
