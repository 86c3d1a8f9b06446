"""Who waits for the end of which topup: the outcomes are tailed once for all of them.

Nothing is read while nobody waits. A tail goes on after its last entry when the server is back.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from redis.exceptions import RedisError

from services.gateway import metrics
from shared.bus.reader import read_after
from shared.contracts.errors import Overloaded
from shared.contracts.limits import BATCH_MAX, WAITERS_MAX
from shared.contracts.streams import PartitionKeys, partition_of
from shared.runtime.background import end
from shared.runtime.redis import Client

BLOCK_MS: Final = 1_000
RETRY_S: Final = 0.5

log = structlog.get_logger()

Ended = asyncio.Future[None]


class Waiting:
    """All who wait at this gateway."""

    def __init__(self, client: Client, *, partitions: int) -> None:
        self._tails = [
            Tail(client, PartitionKeys(partition).outcomes) for partition in range(partitions)
        ]
        self._waiting: set[Ended] = set()
        self._open = True
        metrics.WAITERS.set_function(lambda: len(self._waiting))

    @asynccontextmanager
    async def watch(self, customer_id: str, topup_id: str) -> AsyncIterator[Ended]:
        """Lend a future that is done once the topup has an outcome, or nobody may wait any more.

        What happened before is not told: look at the topup when you have the future.

        Raises:
            Overloaded: nobody may wait any more, or too many do.
            RedisError, OSError: the outcomes cannot be read.
        """
        if not self._open or len(self._waiting) >= WAITERS_MAX:
            raise Overloaded(f"draining, or more than {WAITERS_MAX} wait")
        ended: Ended = asyncio.get_running_loop().create_future()
        self._waiting.add(ended)
        try:
            async with self._tails[partition_of(customer_id, len(self._tails))].with_eye_on(
                topup_id, ended
            ):
                yield ended
        finally:
            self._waiting.discard(ended)

    def let_go(self) -> None:
        """Tell all that they have waited enough, and let nobody wait from now on."""
        self._open = False
        for ended in self._waiting:
            if not ended.done():
                ended.set_result(None)

    async def close(self) -> None:
        """Stop reading."""
        self.let_go()
        await end(tail.task for tail in self._tails if tail.task is not None)


class Tail:
    """Reads one partition's outcomes while somebody waits for one of them."""

    def __init__(self, client: Client, stream: str) -> None:
        self._client = client
        self._stream = stream
        self._place = ""
        self._starting = asyncio.Lock()
        self._eyes: dict[str, set[Ended]] = {}
        self.task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def with_eye_on(self, topup_id: str, ended: Ended) -> AsyncIterator[None]:
        """Tell `ended` of each outcome of the topup from now on; raises as `Waiting.watch`."""
        eyes = self._eyes.setdefault(topup_id, set())
        eyes.add(ended)
        try:
            await self._begin()
            yield
        finally:
            eyes.discard(ended)
            if not eyes and self._eyes.get(topup_id) is eyes:
                del self._eyes[topup_id]

    async def _begin(self) -> None:
        """Have a place on the stream before anybody looks at his topup."""
        async with self._starting:
            if self.task is None or self.task.done():
                last = await self._client.xrevrange(self._stream, count=1)
                self._place = last[0][0].decode() if last else "0-0"
                self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        while self._eyes:
            try:
                await self._read()
            except (RedisError, OSError) as error:
                log.warning("outcomes_lost", problem=str(error) or type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        places = {self._stream: self._place}
        for entry in await read_after(self._client, places, count_max=BATCH_MAX, block_ms=BLOCK_MS):
            self._place = entry.id
            for ended in self._eyes.get(entry.fields.get("id", b"").decode(errors="replace"), ()):
                if not ended.done():
                    ended.set_result(None)
