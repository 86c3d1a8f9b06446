"""When unresolved topups are asked about again: a schedule beside their records."""

from collections.abc import Sequence

from shared.bus.calls import Caller
from shared.bus.records import Record, text
from shared.bus.topups import Topups
from shared.runtime.redis import Client


class Schedule:
    """Which topup's turn it is; the books fill it, and whoever asks takes from it."""

    def __init__(self, client: Client, topups: Topups) -> None:
        self._client = client
        self._topups = topups
        self._caller = Caller(client, replicas=0)

    async def add(self, partition: int, provider: str, ids: Sequence[str], *, now_ms: int) -> None:
        """Let them be asked about from now on; of one that is there already nothing changes."""
        names = self._topups.keys[partition]
        await self._client.zadd(names.limbo(provider), dict.fromkeys(ids, now_ms), nx=True)

    async def take(
        self, partition: int, provider: str, *, now_ms: int, count_max: int
    ) -> list[Record]:
        """Return those whose turn it is; each is nobody else's turn for at least a minute.

        Raises as `Topups.look` does.
        """
        names = self._topups.keys[partition]
        limbo = names.limbo(provider)
        due = await self._client.zrangebyscore(limbo, "-inf", now_ms, start=0, num=count_max)
        ids = [text(one) for one in due]
        if not ids:
            return []
        keys = [names.meta, limbo, *map(names.record, ids)]
        replies = await self._caller.call("ask", keys, ids)
        ours = [one for one, reply in zip(ids, replies, strict=True) if text(reply) == "ask"]
        found = await self._topups.look(partition, ours) if ours else []
        return [one for one in found if isinstance(one, Record)]
