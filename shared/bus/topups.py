"""The stream functions as typed calls: one call, one batch, one round trip."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from shared.bus import functions
from shared.bus.calls import Caller, failed_item
from shared.bus.carried import Carried, Named, by_lane, tell_steps, unread
from shared.bus.messages import (
    Acceptance,
    Accepted,
    Begun,
    Handing,
    ItemFailed,
    Outcome,
    Parking,
    Terms,
    Work,
)
from shared.bus.records import LaneState, Record, read_or_fail, text, whole
from shared.contracts.acts import ActBy
from shared.contracts.limits import DEAD_RETENTION_MS, LANE_TRIES
from shared.contracts.states import State
from shared.contracts.streams import DISPATCHER_GROUP, LEDGER_GROUP, PartitionKeys
from shared.runtime.redis import Client


class Topups:
    """The functions of `topups1` on one server or cluster.

    With `replicas`, a step counts once its write is on that many replicas' disks too.
    """

    def __init__(
        self, client: Client, *, partitions: int, window_ms: int, replicas: int = 0
    ) -> None:
        self._client = client
        self._partitions = partitions
        self.window_ms = window_ms
        self._caller = Caller(client, replicas=replicas)
        self.replicas = replicas
        self.keys = [PartitionKeys(partition) for partition in range(partitions)]

    # -- a topup's life --------------------------------------------------------------------

    async def prepare(self, provider: str) -> None:
        """Load the functions if need be and make the provider's streams with all their groups.

        Raises:
            PartitionsDiffer: the streams were made with another partition count.
            FunctionsUnsupported: the server has no functions.
        """
        await functions.load(self._client)
        for partition in range(self._partitions):
            await self.make_streams(partition, provider)

    async def make_streams(self, partition: int, provider: str) -> None:
        """Make the provider's streams, with all their groups, in one partition."""
        keys = self.keys[partition].common(provider)
        await self._caller.call("prepare", keys, [self._partitions])

    async def accept(
        self,
        partition: int,
        provider: str,
        items: Sequence[Acceptance],
        *,
        deliver_before_ms: int,
    ) -> list[Accepted | ItemFailed]:
        """Put topups on the lane, each once; durable when it returns.

        Raises:
            NotAccepted, Unverified: the server refused; surely nothing was done.
            NotKnown: no answer; repeat with the same ids.
            PartitionsDiffer: see `prepare`.
        """
        keys = self._keys(partition, provider, items)
        args: list[Any] = [self._partitions, deliver_before_ms]
        for item in items:
            args += (item.id, item.fingerprint, item.key_hash, item.body, ",".join(item.route))
        replies = await self._caller.call("accept", keys, args, durable=True)
        return [
            failed_item(reply) or Accepted(text(reply[0]), text(reply[1]), whole(reply[2]))
            for reply in replies
        ]

    async def begin(
        self, partition: int, provider: str, items: Sequence[Work], *, owner: str, terms: Terms
    ) -> list[Begun | ItemFailed]:
        """Write attempts down before any money moves; raises as `accept` does."""
        keys = self._keys(partition, provider, items)
        keys += self.keys[partition].lanes_of(item.route for item in items)
        args: list[Any] = [
            self._partitions, owner, terms.kind, terms.lease_ms, terms.quarantine_ms,
            terms.dedupe_window_ms, self.window_ms,
        ]  # fmt: skip
        for item in items:
            args += (item.id, item.entry, item.nonce)
        replies = await self._caller.call("begin", keys, args, durable=True)
        return [
            failed_item(reply) or Begun(text(reply[0]), *(int(number) for number in reply[1:]))
            for reply in replies
        ]

    async def finish(
        self, partition: int, provider: str, items: Sequence[Outcome], *, terms: Terms
    ) -> list[tuple[str, str] | ItemFailed]:
        """Settle topups; return for each the reply and the state it is in. Raises as `accept`."""
        keys = self._keys(partition, provider, items)
        args: list[Any] = [self.window_ms, int(terms.refusal_covers), terms.hold]
        for item in items:
            args += (
                item.id, item.nonce, item.to.value, item.reason, item.provider_reference,
                item.evidence,
            )  # fmt: skip
        replies = await self._caller.call("finish", keys, args, durable=True)
        return [failed_item(reply) or (text(reply[0]), text(reply[1])) for reply in replies]

    async def park(
        self, partition: int, provider: str, items: Sequence[Parking], *, terms: Terms
    ) -> list[tuple[str, int] | ItemFailed]:
        """Put attempts aside; return the reply and the delay granted. Raises as `accept`."""
        keys = self._keys(partition, provider, items)
        args: list[Any] = [terms.quarantine_ms, terms.hold]
        for item in items:
            args += (
                item.id, item.nonce, item.delay_ms, item.why, item.reason, item.said,
                item.lane_reason or item.reason,
            )  # fmt: skip
        replies = await self._caller.call("park", keys, args, durable=True)
        return [failed_item(reply) or (text(reply[0]), int(reply[1])) for reply in replies]

    async def hand_on(
        self, partition: int, provider: str, items: Sequence[Handing], *, terms: Terms
    ) -> list[tuple[str, str] | ItemFailed]:
        """Move topups to their next lanes; return `moved` and the lane, or `kept`: nothing done."""
        keys = self._keys(partition, provider, items)
        keys += self.keys[partition].lanes_of(item.route for item in items)
        args: list[Any] = [terms.hold, LANE_TRIES]
        for item in items:
            args += (item.id, item.nonce, item.why, item.reason, item.said)
        replies = await self._caller.call("hand_on", keys, args, durable=True)
        return [failed_item(reply) or (text(reply[0]), text(reply[1])) for reply in replies]

    async def now_ms(self, partition: int = 0) -> int:
        """Return the clock of the partition's server, by which all its deadlines run."""
        seconds, micros = await self._client.ask(self.keys[partition].meta, "TIME")
        return int(seconds) * 1_000 + int(micros) // 1_000

    async def wake_due(self, partition: int, *, now_ms: int, count_max: int) -> dict[str, int]:
        """Put what is due back on its lane; return how many of each reply there were."""
        names = self.keys[partition]
        due = await self._client.zrangebyscore(
            names.waiting, "-inf", now_ms, start=0, num=count_max
        )
        replies: dict[str, int] = {}
        for provider, items in (await by_lane(self._client, names, due)).items():
            for reply in await self._each("wake", partition, provider, items):
                replies[reply] = replies.get(reply, 0) + 1
        return replies

    async def expire_unread(
        self, partition: int, provider: str, *, after: str, count_max: int
    ) -> str:
        """Fail what a held lane keeps from being read until its deadline is past.

        Begins after the entry `after` (`0-0` at first); return what to go on after.
        """
        stream = self.keys[partition].requests(provider)
        found = await unread(self._client, stream, after=after, count_max=count_max)
        replies = await self._each("expire", partition, provider, found)
        for one, reply in zip(found, replies, strict=True):
            if reply == "open":
                break
            after = one.entry
        return after

    async def move_unread(
        self, partition: int, provider: str, *, after: str, count_max: int
    ) -> str:
        """Let what a held lane keeps from being read go on to another one, where it may.

        Begins after the entry `after`; return what to go on after: at the end, the front again.
        """
        stream = self.keys[partition].requests(provider)
        found = await unread(self._client, stream, after=after, count_max=count_max)
        await self._each("expire", partition, provider, [one for one in found if one.route[1:]])
        return found[-1].entry if len(found) == count_max else "0-0"

    async def bury(  # noqa: PLR0913 - an entry that nobody understands has many parts
        self,
        partition: int,
        provider: str,
        *,
        topup_id: str,
        key_hash: str,
        entry: str,
        reason: str,
        payload: bytes,
    ) -> str:
        """End what code can't handle, with a copy for people; return the state it is in now."""
        keys = self.keys[partition].with_records(provider, [(topup_id, key_hash)])
        args = [self.window_ms, topup_id, entry, reason, payload]
        (reply,) = await self._caller.call("bury", keys, args, durable=True)
        failed = failed_item(reply)
        return failed.text if failed else text(reply[0])

    async def resolve(  # noqa: PLR0913 - a settlement on evidence has many parts
        self,
        partition: int,
        record: Record,
        *,
        to: State,
        asked_at_ms: int,
        provider_reference: str,
        evidence: bytes,
        act: ActBy,
        proposal: str,
        provider: str = "",
    ) -> tuple[str, str]:
        """Settle an unresolved topup on evidence: people's proposal, or '' for a machine's.

        `provider` had it, where the record does not say. Return the reply and its detail: `ok`;
        `too_soon`, the quarantine's end in ms; `disputed`: a machine's no against what people say;
        `lost`, `newer`; else the state that it is in already. Raises as `accept` does.
        """
        named = [(record.id, record.request.key_hash)]
        keys = self.keys[partition].with_records(provider or record.lane, named)
        args = [self.window_ms, record.id, to.value, asked_at_ms, provider_reference, evidence]
        args += [act.id, act.who, act.why, proposal]
        word, *detail = map(text, await self._caller.call("resolve", keys, args, durable=True))
        return word, "".join(detail)

    # -- looking ---------------------------------------------------------------------------

    async def look(self, partition: int, ids: Sequence[str]) -> list[Record | ItemFailed | None]:
        """Return the records as they are; one that cannot be read fails alone.

        Raises as `accept` does.
        """
        keys = [self.keys[partition].meta, *map(self.keys[partition].record, ids)]
        rows = await self._caller.call("look", keys, [])
        return [read_or_fail(topup_id, row) for topup_id, row in zip(ids, rows, strict=True)]

    async def verified(self, partition: int) -> bool:
        """Tell whether a ledger vouches that the partition has all that is in the books."""
        return bool(await self._caller.call("verified", [self.keys[partition].meta], []))

    async def counters(self, partition: int) -> dict[str, int]:
        """Return the partition's counters; those of one lane are named `<state>:<PROVIDER>`."""
        found = await self._pairs(self.keys[partition].counters)
        return {text(name): int(value) for name, value in found}

    async def lanes(self, partition: int) -> dict[str, LaneState]:
        """Return the lanes that were ever held; all others are open."""
        found = await self._pairs(self.keys[partition].lanes)
        return {text(name): msgspec.json.decode(value, type=LaneState) for name, value in found}

    async def _pairs(self, key: str) -> Iterator[tuple[bytes, bytes]]:
        flat = iter(await self._client.ask(key, "HGETALL", key))
        return zip(flat, flat, strict=True)

    # -- upkeep -----------------------------------------------------------------------------

    async def trim(self, *, providers: Sequence[str], retention_ms: int) -> int:
        """Drop what is old, and acknowledged by all groups; return how many entries went."""
        gone = 0
        for names in self.keys:
            readers = {names.requests(one): [DISPATCHER_GROUP, LEDGER_GROUP] for one in providers}
            readers |= {names.outcomes: [LEDGER_GROUP], names.acts: [LEDGER_GROUP]}
            for stream, by in readers.items():
                gone += max(int(await self._caller.call("trim", [stream], [retention_ms, *by])), 0)
            letters = [names.dead, names.dead_done]
            gone += int(await self._caller.call("clear", letters, [DEAD_RETENTION_MS]))
        return gone

    # -- how a call is made ------------------------------------------------------------------

    def _keys(self, partition: int, provider: str, items: Sequence[Named]) -> list[str]:
        named = [(item.id, item.key_hash) for item in items]
        return self.keys[partition].with_records(provider, named)

    async def _each(
        self, function: str, partition: int, provider: str, items: Sequence[Carried]
    ) -> list[str]:
        if not items:
            return []
        keys = self._keys(partition, provider, items)
        keys += self.keys[partition].lanes_of(item.route for item in items)
        args = [self.window_ms, *(item.id for item in items)]
        replies = [text(reply[0]) for reply in await self._caller.call(function, keys, args)]
        tell_steps(provider, items, replies)
        return replies
