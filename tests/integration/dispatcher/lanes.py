"""One dispatcher's lane on a real server, before a provider that answers when it is told to."""

import asyncio
from functools import partial

from services.dispatcher.carrier import Carrier
from services.dispatcher.lanes import LaneWatch
from services.dispatcher.providers.adapter import Answer, Attempt, Delivered, Facts, Sale, Unknown
from services.dispatcher.slots import Slots
from services.dispatcher.steps import Steps
from services.dispatcher.worker import Lane
from shared.bus.reader import GroupReader
from shared.bus.topups import Topups
from shared.bus.trust import Trust
from shared.contracts.streams import DISPATCHER_GROUP
from shared.runtime.clock import SystemClock
from shared.runtime.redis import Client
from tests.integration.bus.bench import LANE, terms


class Patron:
    """Pays what it is asked for, once it is let go on."""

    def __init__(self) -> None:
        self.facts = Facts(
            name=LANE, connect_timeout_ms=1_000, login_timeout_ms=1_000, answer_timeout_ms=1_000
        )
        self.asked: list[str] = []
        self.answer: Answer = Delivered(provider_reference="P1", raw="{}")
        self.arrived = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def send(self, sale: Sale, attempt: Attempt) -> Answer:
        """Take the request, then wait."""
        assert attempt.may_send()
        self.asked.append(sale.topup_id)
        self.arrived.set()
        await self.goes_on.wait()
        return self.answer

    async def inquire(self, sale: Sale, reference: str) -> Answer:
        """Know nothing."""
        return Unknown(f"{reference} is not known")

    async def close(self) -> None:
        """Hold nothing open."""


class Bay:
    """A lane in as many partitions as the streams have, and what is needed to drive it."""

    def __init__(
        self,
        client: Client,
        *,
        partitions: int,
        size: int,
        owner: str = "me",
        reader: type[GroupReader] = GroupReader,
        replicas: int = 0,
    ) -> None:
        self.client = client
        self.patron = Patron()
        self.topups = Topups(client, partitions=partitions, window_ms=60_000, replicas=replicas)
        self.watch = LaneWatch(self.topups, providers=[LANE])
        self.draining = asyncio.Event()
        self.slots = Slots(size)
        carriers = [self._carrier(partition, owner) for partition in range(partitions)]
        self.lane = Lane(
            LANE,
            topups=self.topups,
            reader=reader(client, group=DISPATCHER_GROUP, consumer=owner),
            carriers=carriers,
            slots=self.slots,
            watch=self.watch,
            draining=self.draining,
            crash=lambda _point: None,
        )

    def _carrier(self, partition: int, owner: str) -> Carrier:
        steps = Steps(
            self.topups,
            Trust(self.client, self.topups),
            partition=partition,
            provider=LANE,
            owner=owner,
            terms=terms("neither"),
        )
        return Carrier(
            provider=self.patron,
            topups=self.topups,
            partition=partition,
            steps=steps,
            by=owner,
            resend=True,
            clock=SystemClock(),
            crash=lambda _point: None,
            on_held=partial(self.watch.tell_held, LANE, partition),
        )
