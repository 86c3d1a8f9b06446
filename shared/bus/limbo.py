"""Unresolved topups: when they are asked about again, and what people say was paid."""

from collections.abc import Iterable, Sequence

from shared.bus.calls import Caller
from shared.bus.records import Record, text
from shared.bus.topups import Topups
from shared.contracts.limits import BATCH_MAX
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


class Standing:
    """What people say was paid: while anybody says so of a topup, no machine's no settles it."""

    def __init__(self, client: Client, topups: Topups) -> None:
        self._keys = topups.keys
        self._caller = Caller(client, replicas=topups.replicas)

    async def stand(self, partition: int, proposals: Sequence[tuple[str, str]]) -> list[str]:
        """Let these (topup, proposal) be what is said; return each topup's state.

        Only of an unresolved one is it kept; `lost`: it has no record, `newer`: none of ours.
        Raises as `Topups.accept`.
        """
        return await self._tell(partition, proposals, "stands")

    async def fall(self, partition: int, proposals: Sequence[tuple[str, str]]) -> list[str]:
        """Let these proposals say nothing any more; as `stand`."""
        return await self._tell(partition, proposals, "fell")

    async def agree(self, said: Iterable[tuple[int, str, str, bool]]) -> None:
        """Let each (partition, topup, proposal) stand or fall, as the books have it.

        Raises as `Topups.accept`; what was not told then can be told again.
        """
        places: dict[tuple[int, bool], list[tuple[str, str]]] = {}
        for partition, topup_id, proposal, stands in said:
            places.setdefault((partition, stands), []).append((topup_id, proposal))
        for (partition, stands), proposals in places.items():
            for start in range(0, len(proposals), BATCH_MAX):
                what = "stands" if stands else "fell"
                await self._tell(partition, proposals[start : start + BATCH_MAX], what)

    async def _tell(
        self, partition: int, proposals: Sequence[tuple[str, str]], what: str
    ) -> list[str]:
        names = self._keys[partition]
        keys = [names.meta, *(names.record(topup_id) for topup_id, _ in proposals)]
        args = [word for _, proposal in proposals for word in (proposal, what)]
        return [text(one) for one in await self._caller.call("propose", keys, args, durable=True)]
