"""The stream functions as typed calls: one call, one batch, one round trip."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.bus import functions
from shared.contracts.errors import NotAccepted, NotDurable, NotKnown, PartitionsDiffer
from shared.contracts.events import TopupRequested, decode_request
from shared.contracts.states import State
from shared.contracts.streams import DISPATCHER_GROUP, LEDGER_GROUP, PartitionKeys
from shared.runtime.redis import Client

WAITAOF_TIMEOUT_MS: Final = 2_000
_REFUSALS: Final = (
    "OOM", "NOREPLICAS", "READONLY", "LOADING", "BUSY", "MASTERDOWN", "MISCONF",
    "CLUSTERDOWN", "TRYAGAIN", "NOAUTH", "NOPERM", "WRONGPASS",
)  # fmt: skip
"""How a server begins to say that it has done nothing."""

ReplyT = TypeVar("ReplyT")


class ItemFailed(msgspec.Struct, frozen=True):
    """One item of a batch failed by itself; nothing is known to be wrong with the others."""

    text: str


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """A topup to accept; `key_hash` is empty where the merchant gave no key."""

    id: str
    fingerprint: str
    key_hash: str
    body: bytes


class Accepted(msgspec.Struct, frozen=True, array_like=True):
    """`accepted`, `replayed` or `mismatch`; the id is that of the first accept."""

    status: str
    id: str
    accepted_at_ms: int | None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A delivered lane entry for which an attempt is to begin under a new nonce."""

    id: str
    entry: str
    key_hash: str
    nonce: str


class Begun(msgspec.Struct, frozen=True):
    """The answer to `begin`; `after_ms` is the lease granted, or when to ask again."""

    status: str
    after_ms: int = 0
    attempt: int = 0


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a lane's provider is, as far as the functions care."""

    kind: str  # neither, inquiry, dedupes, dedupes+inquiry
    lease_ms: int
    quarantine_ms: int
    dedupe_window_ms: int
    refusal_covers: bool
    hold_ms: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt settles its topup."""

    id: str
    key_hash: str
    nonce: str
    to: State
    reason: str
    provider_reference: str
    evidence: bytes


class Parking(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that will be tried again, or asked about, later."""

    id: str
    key_hash: str
    nonce: str
    delay_ms: int
    why: str  # no, not_sent, unknown, not_found, hold
    reason: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One topup as Redis has it."""

    id: str
    state: State
    lane: str
    request: TopupRequested
    key_hash: str
    accepted_at_ms: int
    settled_at_ms: int | None
    reason: str | None
    provider_reference: str | None
    attempt: int
    seq: int
    doubt: str
    quarantine_until_ms: int


class LaneState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a lane is open, held or probing; times are milliseconds since the epoch."""

    state: str = "open"
    reason: str | None = None
    by: str | None = None
    since: float | None = None
    until: float | None = None
    probe: str | None = None
    probe_until: float | None = None
    holds: int = 0

    def startable(self, now_ms: int) -> bool:
        """Tell whether anything may start: the lane is open, or due for its one probe."""
        match self.state:
            case "open":
                return True
            case "held":
                return self.until is not None and self.until <= now_ms
            case _:
                return self.probe_until is not None and self.probe_until <= now_ms


class Topups:
    """The functions of `topups1` on one server or cluster.

    With `replicas`, a step counts once its write is on that many replicas' disks too.
    """

    def __init__(
        self, client: Client, *, partitions: int, window_ms: int, replicas: int = 0
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._window_ms = window_ms
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
            await self._call("prepare", self._common(partition, provider), [self._partitions])

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
            NotAccepted: the server refused; surely nothing was done.
            NotKnown: no answer; repeat with the same ids.
            PartitionsDiffer: see `prepare`.
        """
        keys = self._with_records(partition, provider, [(item.id, item.key_hash) for item in items])
        args: list[Any] = [self._partitions, deliver_before_ms]
        for item in items:
            args += (item.id, item.fingerprint, item.key_hash, item.body)
        replies = await self._call("accept", keys, args, durable=True)
        return [
            _failed(reply) or Accepted(_text(reply[0]), _text(reply[1]), _whole(reply[2]))
            for reply in replies
        ]

    async def begin(
        self, partition: int, provider: str, items: Sequence[Work], *, owner: str, terms: Terms
    ) -> list[Begun | ItemFailed]:
        """Write attempts down before any money moves; raises as `accept` does."""
        keys = self._with_records(partition, provider, [(item.id, item.key_hash) for item in items])
        args: list[Any] = [
            self._partitions, owner, terms.kind, terms.lease_ms, terms.quarantine_ms,
            terms.dedupe_window_ms, self._window_ms,
        ]  # fmt: skip
        for item in items:
            args += (item.id, item.entry, item.nonce)
        replies = await self._call("begin", keys, args, durable=True)
        return [
            _failed(reply) or Begun(_text(reply[0]), *(int(number) for number in reply[1:]))
            for reply in replies
        ]

    async def finish(
        self, partition: int, provider: str, items: Sequence[Outcome], *, terms: Terms
    ) -> list[tuple[str, str] | ItemFailed]:
        """Settle topups; return for each the reply and the state it is in. Raises as `accept`."""
        keys = self._with_records(partition, provider, [(item.id, item.key_hash) for item in items])
        args: list[Any] = [self._window_ms, int(terms.refusal_covers), terms.hold_ms]
        for item in items:
            args += (
                item.id, item.nonce, item.to.value, item.reason, item.provider_reference,
                item.evidence,
            )  # fmt: skip
        replies = await self._call("finish", keys, args, durable=True)
        return [_failed(reply) or (_text(reply[0]), _text(reply[1])) for reply in replies]

    async def park(
        self, partition: int, provider: str, items: Sequence[Parking], *, terms: Terms
    ) -> list[tuple[str, int] | ItemFailed]:
        """Put attempts aside; return the reply and the delay granted. Raises as `accept`."""
        keys = self._with_records(partition, provider, [(item.id, item.key_hash) for item in items])
        args: list[Any] = [terms.quarantine_ms, terms.hold_ms]
        for item in items:
            args += (item.id, item.nonce, item.delay_ms, item.why, item.reason)
        replies = await self._call("park", keys, args, durable=True)
        return [_failed(reply) or (_text(reply[0]), int(reply[1])) for reply in replies]

    async def now_ms(self) -> int:
        """Return the server's clock, by which all deadlines run."""
        seconds, micros = await self._client.time()
        return int(seconds) * 1_000 + int(micros) // 1_000

    async def wake_due(self, partition: int, *, now_ms: int, count_max: int) -> dict[str, int]:
        """Put what is due back on its lane; return how many of each reply there were."""
        names = self.keys[partition]
        due = await self._client.zrangebyscore(
            names.waiting, "-inf", now_ms, start=0, num=count_max
        )
        replies: dict[str, int] = {}
        for provider, items in (await self._by_lane(partition, due)).items():
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
        groups = {row["name"]: row for row in await self._client.xinfo_groups(stream)}
        delivered = groups[DISPATCHER_GROUP.encode()]["last-delivered-id"].decode()
        start: str = max(after, delivered, key=_place)
        rows = await self._client.xrange(stream, f"({start}", "+", count=count_max)
        items = [(_text(fields[b"id"]), _text(fields[b"key"])) for _, fields in rows]
        replies = await self._each("expire", partition, provider, items) if items else []
        for (entry, _), reply in zip(rows, replies, strict=True):
            if reply == "open":
                break
            start = _text(entry)
        return start

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
        keys = self._with_records(partition, provider, [(topup_id, key_hash)])
        args = [self._window_ms, topup_id, entry, reason, payload]
        reply = (await self._call("bury", keys, args, durable=True))[0]
        failed = _failed(reply)
        return failed.text if failed else _text(reply[0])

    async def resolve(
        self,
        partition: int,
        record: Record,
        *,
        to: State,
        asked_at_ms: int,
        provider_reference: str,
        evidence: bytes,
    ) -> tuple[str, str]:
        """Settle an unresolved topup on evidence; return the reply and its detail."""
        keys = self._with_records(partition, record.lane, [(record.id, record.key_hash)])
        args = [
            self._window_ms, record.id, to.value, asked_at_ms, provider_reference, evidence
        ]  # fmt: skip
        reply = await self._call("resolve", keys, args, durable=True)
        return _text(reply[0]), _text(reply[1]) if len(reply) > 1 else ""

    # -- looking ---------------------------------------------------------------------------

    async def look(self, partition: int, ids: Sequence[str]) -> list[Record | None]:
        """Return the records as they are; raises as `accept` does."""
        keys = [self.keys[partition].record(topup_id) for topup_id in ids]
        rows = await self._call("look", keys, [])
        return [_record(topup_id, row) for topup_id, row in zip(ids, rows, strict=True)]

    async def counters(self, partition: int) -> dict[str, int]:
        """Return the partition's counters; those of one lane are named `<state>:<PROVIDER>`."""
        found = await self._client.hgetall(self.keys[partition].counters)
        return {_text(name): int(value) for name, value in found.items()}

    async def lanes(self, partition: int) -> dict[str, LaneState]:
        """Return the lanes that were ever held; all others are open."""
        found = await self._client.hgetall(self.keys[partition].lanes)
        return {
            _text(name): msgspec.json.decode(value, type=LaneState) for name, value in found.items()
        }

    # -- lanes and upkeep --------------------------------------------------------------------

    async def hold(
        self, provider: str, *, reason: str, by: str, until_ms: int | None = None
    ) -> None:
        """Let nothing of the lane start, in every partition."""
        for names in self.keys:
            args = [provider, reason, by, "" if until_ms is None else until_ms]
            await self._call("hold", [names.lanes], args, durable=True)

    async def release(self, provider: str, *, by: str) -> None:
        """Open the lane, in every partition."""
        for names in self.keys:
            await self._call("release", [names.lanes], [provider, by], durable=True)

    async def trim(self, *, providers: Sequence[str], retention_ms: int) -> int:
        """Drop what is old and acknowledged by all groups; return how many entries went."""
        gone = 0
        for names in self.keys:
            for provider in providers:
                groups = [DISPATCHER_GROUP, LEDGER_GROUP]
                gone += max(await self._trim(names.requests(provider), retention_ms, groups), 0)
            gone += max(await self._trim(names.outcomes, retention_ms, [LEDGER_GROUP]), 0)
        return gone

    async def _trim(self, stream: str, retention_ms: int, groups: list[str]) -> int:
        return int(await self._call("trim", [stream], [retention_ms, *groups]))

    # -- how a call is made ------------------------------------------------------------------

    def _common(self, partition: int, provider: str) -> list[str]:
        names = self.keys[partition]
        return [
            names.requests(provider), names.outcomes, names.waiting, names.alive, names.counters,
            names.meta, names.lanes, names.dead,
        ]  # fmt: skip

    def _with_records(
        self, partition: int, provider: str, items: Sequence[tuple[str, str]]
    ) -> list[str]:
        names = self.keys[partition]
        keys = self._common(partition, provider)
        keys += [names.record(topup_id) for topup_id, _ in items]
        keys += [names.key(key) if key else names.record(topup_id) for topup_id, key in items]
        return keys

    async def _by_lane(
        self, partition: int, ids: Sequence[bytes]
    ) -> dict[str, list[tuple[str, str]]]:
        names = self.keys[partition]
        async with self._client.pipeline(transaction=False) as pipe:
            for topup_id in ids:
                pipe.hmget(names.record(_text(topup_id)), "lane", "key")
            found = await pipe.execute()
        lanes: dict[str, list[tuple[str, str]]] = {}
        for topup_id, (lane, key) in zip(ids, found, strict=True):
            if lane is not None:
                lanes.setdefault(_text(lane), []).append((_text(topup_id), _text(key or b"")))
        return lanes

    async def _each(
        self, function: str, partition: int, provider: str, items: Sequence[tuple[str, str]]
    ) -> list[str]:
        keys = self._with_records(partition, provider, items)
        args = [self._window_ms, *(topup_id for topup_id, _ in items)]
        return [_text(reply[0]) for reply in await self._call(function, keys, args)]

    async def _call(
        self, function: str, keys: Sequence[str], args: Sequence[Any], *, durable: bool = False
    ) -> Any:  # noqa: ANN401 - each caller types its own reply
        try:
            try:
                return await self._fcall(function, keys, args, durable=durable)
            except ResponseError as error:
                if "function not found" not in str(error).lower():
                    raise
                await functions.load(self._client)
                return await self._fcall(function, keys, args, durable=durable)
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            raise _unanswered(error) from error
        except ResponseError as error:
            raise _refused(error) from error

    async def _fcall(
        self, function: str, keys: Sequence[str], args: Sequence[Any], *, durable: bool
    ) -> Any:  # noqa: ANN401 - as `_call`
        name = f"{functions.LIBRARY}_{function}"
        if not (durable and self.replicas):
            return await self._client.fcall(name, len(keys), *keys, *args)
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.fcall(name, len(keys), *keys, *args)
            pipe.execute_command("WAITAOF", 1, self.replicas, WAITAOF_TIMEOUT_MS)
            reply, (local, remote) = await pipe.execute()
        if local < 1 or remote < self.replicas:
            raise NotDurable(f"on {local} own disk and {remote} of {self.replicas} replicas")
        return reply


def _unanswered(error: Exception) -> NotKnown | NotAccepted:
    """Tell a command that was never sent from one whose answer is lost."""
    text = str(error)
    if isinstance(error, RedisConnectionError) and (
        "connecting to" in text or "No connection available" in text
    ):
        return NotAccepted(text)
    return NotKnown(text or type(error).__name__)


def _refused(error: ResponseError) -> Exception:
    text = str(error)
    if text.startswith("PARTITIONS"):
        return PartitionsDiffer(f"the streams were {text.removeprefix('PARTITIONS ')}")
    if text.split(" ", 1)[0] in _REFUSALS:
        return NotAccepted(text)
    return error


def _failed(reply: Sequence[Any]) -> ItemFailed | None:
    status = _text(reply[0])
    return ItemFailed(status.removeprefix("error:")) if status.startswith("error:") else None


def _record(topup_id: str, flat: Sequence[bytes]) -> Record | None:
    if not flat:
        return None
    found: Mapping[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
    return Record(
        id=topup_id,
        state=State(_text(found[b"state"])),
        lane=_text(found[b"lane"]),
        request=decode_request(found[b"body"]),
        key_hash=_text(found.get(b"key", b"")),
        accepted_at_ms=int(found[b"accepted_at"]),
        settled_at_ms=_whole(found.get(b"settled_at")),
        reason=_text(found.get(b"reason", b"")) or None,
        provider_reference=_text(found.get(b"outcome", b"")) or None,
        attempt=int(found.get(b"attempt", 0)),
        seq=int(found[b"seq"]),
        doubt=_text(found.get(b"doubt", b"")),
        quarantine_until_ms=int(found.get(b"quarantine_until", 0)),
    )


def _place(entry: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence)


def _text(value: bytes) -> str:
    return value.decode()


def _whole(value: bytes | None) -> int | None:
    return int(value) if value else None
