"""Answers the other commands: what runs, and more or fewer of it."""

import asyncio
from contextlib import suppress
from typing import Final

from ops.errors import CommandFailed
from ops.supervisor.control import Answer, List, Request
from ops.supervisor.fleet import Fleet
from ops.supervisor.plan import REPLICAS_MAX, Plan
from ops.supervisor.replica import Replica, Row

_READY_S_MAX: Final = 30.0
_EXAMPLE: Final = "for example: topup scale dispatcher=5 gateway=2"


class Scaling:
    """One change at a time; each is checked as a whole before anything is done."""

    def __init__(self, plan: Plan, fleet: Fleet) -> None:
        self._scalable = tuple(service.name for service in plan.services if service.scales)
        self._order = tuple(service.name for service in reversed(plan.services))
        self._fleet = fleet
        self._one = asyncio.Lock()
        self._is_open = False

    def open(self) -> None:
        """Take wishes from now on: all that the plan asks for has started."""
        self._is_open = True

    async def handle(self, request: Request) -> Answer:
        """Do what is asked and tell of all replicas; raises CommandFailed and does nothing."""
        if not isinstance(request, List):
            self._check(request.counts)
            async with self._one:
                for service, count in request.counts.items():
                    self._fleet.grow(service, count)
                killed = await self._shrink(request.counts)
            # not a part of the change: the next one need not wait for it
            await _settled([r for service in request.counts for r in self._fleet.of(service)])
            async with self._one:  # nothing is told half-way through another change
                return self._answer(killed)
        return self._answer([])

    def _answer(self, killed: list[str]) -> Answer:
        return Answer(rows=sorted(self._fleet.rows(), key=self._place), killed=killed)

    def _place(self, row: Row) -> tuple[int, int, str]:
        """Who asks stands above who answers, and the servers stand last."""
        above = self._order.index(row.service) if row.service in self._order else len(self._order)
        return above, len(row.id), row.id

    def _check(self, counts: dict[str, int]) -> None:
        if not self._is_open:
            raise CommandFailed("it is still starting; ask again once it is ready")
        for service, count in counts.items():
            if service not in self._scalable:
                names = ", ".join(self._scalable)
                raise CommandFailed(
                    f"{service} cannot be scaled, only {names}; {_EXAMPLE}", status=2
                )
            if not 0 <= count <= REPLICAS_MAX:
                raise CommandFailed(
                    f"{service}={count} is not between 0 and {REPLICAS_MAX}; {_EXAMPLE}",
                    status=2,
                )

    async def _shrink(self, counts: dict[str, int]) -> list[str]:
        """Drain who asks before who answers; return who had to be killed."""
        killed: list[str] = []
        for service in sorted(counts, key=self._order.index):
            killed += await self._fleet.shrink(service, counts[service])
        return killed


async def _settled(replicas: list[Replica]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_READY_S_MAX):
            await asyncio.gather(*(replica.settled.wait() for replica in replicas))
