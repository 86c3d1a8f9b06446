"""All replicas of one supervisor: their numbering, their scaling, their drain in order."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from ops.errors import CommandFailed
from ops.supervisor.replica import Job, Replica, Row

MakeJob = Callable[[str, int], Job]


class Fleet:
    """Runs replicas in a task group, so that a fault of ours is never silent."""

    def __init__(
        self, tasks: asyncio.TaskGroup, make: MakeJob, changed: Callable[[Replica], None]
    ) -> None:
        self._tasks = tasks
        self._make = make
        self._changed = changed
        self._replicas: list[Replica] = []
        self._closed = False

    def add(self, job: Job) -> Replica:
        """Start one replica; raises CommandFailed once `close` was called."""
        if self._closed:
            raise CommandFailed("what runs here is just stopping")
        replica = Replica(job, self._changed)
        self._replicas.append(replica)
        self._tasks.create_task(replica.run())
        return replica

    def grow(self, service: str, count: int) -> list[Replica]:
        """Start replicas until there are so many, each with the lowest free number."""
        have = {replica.job.id for replica in self.of(service)}
        free = (n for n in range(1, count + len(have) + 1) if f"{service}-{n}" not in have)
        missing = max(0, count - len(have))
        return [
            self.add(self._make(service, n)) for n, _ in zip(free, range(missing), strict=False)
        ]

    async def shrink(self, service: str, count: int) -> list[str]:
        """Drain the newest replicas until so few are left; return who had to be killed."""
        return await self._end(self.of(service)[count:])

    async def drain(self, services: Iterable[str]) -> list[str]:
        """Drain all replicas of these services together; return who had to be killed."""
        return await self._end([r for service in services for r in self.of(service)])

    def close(self) -> None:
        """Take no more replicas."""
        self._closed = True

    def kill(self) -> None:
        """End everything at once."""
        for replica in self._replicas:
            replica.kill()

    def of(self, service: str) -> list[Replica]:
        """Return its replicas, by number."""
        found = [replica for replica in self._replicas if replica.job.service == service]
        return sorted(found, key=lambda replica: (len(replica.job.id), replica.job.id))

    def rows(self) -> list[Row]:
        """Describe all of them."""
        return [replica.row() for replica in self._replicas]

    async def _end(self, leaving: Sequence[Replica]) -> list[str]:
        clean = await asyncio.gather(*(replica.drain() for replica in leaving))
        self._replicas = [replica for replica in self._replicas if replica not in leaving]
        return [
            replica.job.id for replica, gently in zip(leaving, clean, strict=True) if not gently
        ]
