"""Answers the other commands: what runs, and more or fewer of it."""

import asyncio
from typing import Final

from ops.errors import CommandFailed
from ops.supervisor.control import List, Request
from ops.supervisor.fleet import Fleet
from ops.supervisor.plan import REPLICAS_MAX, Plan
from ops.supervisor.replica import Row

_READY_S_MAX: Final = 30.0
_EXAMPLE: Final = "for example: topup scale dispatcher=5 gateway=2"


class Scaling:
    """One change at a time; each is checked as a whole before anything is done."""

    def __init__(self, plan: Plan, fleet: Fleet) -> None:
        self._scalable = tuple(service.name for service in plan.services if service.scales)
        self._order = tuple(service.name for service in reversed(plan.services))
        self._fleet = fleet
        self._one = asyncio.Lock()

    async def handle(self, request: Request) -> list[Row]:
        """Do what is asked and return all replicas; raises CommandFailed and does nothing."""
        if not isinstance(request, List):
            self._check(request.counts)
            async with self._one:
                await self._scale(request.counts)
        return sorted(self._fleet.rows(), key=self._place)

    def _place(self, row: Row) -> tuple[int, int, str]:
        """Who asks stands above who answers, and the servers stand last."""
        above = self._order.index(row.service) if row.service in self._order else len(self._order)
        return above, len(row.id), row.id

    def _check(self, counts: dict[str, int]) -> None:
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

    async def _scale(self, counts: dict[str, int]) -> None:
        new = [r for service, count in counts.items() for r in self._fleet.grow(service, count)]
        await asyncio.gather(*(self._fleet.shrink(s, count) for s, count in counts.items()))
        if new:
            await asyncio.wait(
                [asyncio.ensure_future(replica.settled.wait()) for replica in new],
                timeout=_READY_S_MAX,
            )
