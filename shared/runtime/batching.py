"""Natural batching: one round trip in flight; what arrives meanwhile goes together in the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from shared.contracts.errors import NotKnown, Overloaded
from shared.contracts.limits import BATCH_MAX, WAITING_MAX

ItemT = TypeVar("ItemT")
ReplyT = TypeVar("ReplyT")


class Batcher(Generic[ItemT, ReplyT]):
    """Shares round trips between callers; alone, a caller waits for nobody.

    `run` gets at most `size_max` items and gives one reply for each, in order; when it raises, each
    caller of that batch gets the error. Nobody is left waiting: replies that cannot be told apart,
    and a round trip that is cancelled, are NotKnown to all who are still there. More than
    `waiting_max` callers are refused at once. With `gather_s`, for what nobody waits for, a batch
    that is not full waits so long for company.
    """

    def __init__(
        self,
        run: Callable[[Sequence[ItemT]], Awaitable[Sequence[ReplyT]]],
        *,
        size_max: int = BATCH_MAX,
        waiting_max: int = WAITING_MAX,
        gather_s: float = 0.0,
    ) -> None:
        self._run = run
        self._size_max = size_max
        self._waiting_max = waiting_max
        self._gather_s = gather_s
        self._waiting: deque[tuple[ItemT, asyncio.Future[ReplyT]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: ItemT, *, within_s: float | None = None) -> ReplyT:
        """Return the reply to this item.

        Raises:
            Overloaded: too many wait already; this item was not sent.
            NotKnown: nobody knows which reply is this item's, or whether it was sent.
            TimeoutError: no reply within that time; it may have been sent.
        """
        if len(self._waiting) >= self._waiting_max:
            raise Overloaded(f"more than {self._waiting_max} wait for the same round trip")
        reply: asyncio.Future[ReplyT] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, reply))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        if within_s is None:
            return await reply
        expiry = asyncio.get_running_loop().call_later(within_s, _expire, reply)
        try:
            return await reply
        finally:
            expiry.cancel()

    async def _drain(self) -> None:
        batch: list[tuple[ItemT, asyncio.Future[ReplyT]]] = []
        try:
            while self._waiting:
                if self._gather_s and len(self._waiting) < self._size_max:
                    await asyncio.sleep(self._gather_s)
                size = min(len(self._waiting), self._size_max)
                batch = [self._waiting.popleft() for _ in range(size)]
                await self._send([pair for pair in batch if not pair[1].done()])
        finally:
            self._task = None
            left = [*batch, *self._waiting]  # only where it was cancelled
            self._waiting.clear()
            _fail(left, NotKnown("the round trip was cancelled"))

    async def _send(self, batch: list[tuple[ItemT, asyncio.Future[ReplyT]]]) -> None:
        if not batch:
            return
        try:
            replies = await self._run([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - each caller of the batch gets it
            _fail(batch, error)
            return
        if len(replies) != len(batch):
            _fail(batch, NotKnown(f"{len(replies)} replies came to {len(batch)} items"))
            return
        for (_, future), reply in zip(batch, replies, strict=True):
            if not future.done():
                future.set_result(reply)


def _fail(pairs: Iterable[tuple[ItemT, asyncio.Future[ReplyT]]], error: Exception) -> None:
    for _, future in pairs:
        if not future.done():
            future.set_exception(error)


def _expire(reply: asyncio.Future[ReplyT]) -> None:
    if not reply.done():
        reply.set_exception(TimeoutError())
