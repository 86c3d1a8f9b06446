"""The functions on a real Valkey and the model of them, step by step the same.

Only the library's clock is another: it reads a key, so that time passes exactly as told, may go
back, and every time in a record can be compared to the millisecond.
"""

import re
from typing import Any, Final

import msgspec

from shared.bus import functions
from shared.bus.reader import GroupReader
from shared.contracts.acts import act_by
from shared.contracts.limits import SILENT_MS
from shared.contracts.states import State
from shared.contracts.streams import DISPATCHER_GROUP, PartitionKeys
from shared.runtime.redis import Client
from tests.integration.bus.bench import (
    DEDUPE_WINDOW_MS,
    DELIVER_BEFORE_MS,
    LANE,
    LEASE_MS,
    QUARANTINE_MS,
    Bench,
)
from tests.model.functions import FINAL, NEVER, Record, Reply, Server, Terms

ID: Final = "t"
CLOCK: Final = "clock"
HELD_RECHECK_MS: Final = 5_000
MANY: Final = 100
"""More entries than one topup ever has."""
START_MS: Final = 1_700_000_000_000
_TIME: Final = re.compile(rb"local t = redis\.call\('TIME'\)\n  return [^\n]*\n")
_TOLD: Final = b"return tonumber(redis.call('GET', '" + CLOCK.encode() + b"'))\n"


async def load_with_clock(client: Client) -> None:
    """Load the library as it is, but for its clock."""
    told, found = _TIME.subn(_TOLD, functions.source())
    assert found == 1, "the library reads the time in one place"
    await client.execute_command("FUNCTION", "LOAD", "REPLACE", told)
    meta = PartitionKeys(0).meta
    generation = await client.hget(meta, "generation")
    await client.fcall("topups1_vouch", 1, meta, generation)  # a loaded library trusts nobody


class Kept(msgspec.Struct, frozen=True):
    """What a replica has: the dumps of all keys, and the model at that moment."""

    dumps: dict[bytes, tuple[bytes, int]]
    record: Record | None
    entries: dict[str, str]
    due: int | None
    told: tuple[str, ...]
    beats: dict[str, int]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What Valkey has of the topup after a step."""

    record: dict[str, str]
    left_ms: int
    due: int | None
    pending: dict[str, str]
    unread: list[str]
    told: tuple[str, ...]


class Pair:
    """One topup in Valkey and in the model; each call is made in both and must answer alike."""

    def __init__(self, client: Client, kind: str, *, covers: bool) -> None:
        self.bench = Bench(client)
        self.bench.kind, self.bench.covers = kind, covers
        self.client = client
        terms = Terms(
            kind, LEASE_MS, QUARANTINE_MS, DEDUPE_WINDOW_MS, covers, recheck=HELD_RECHECK_MS
        )
        self.model = Server(terms)
        self.beats: dict[str, int] = {}
        self.replica: Kept | None = None

    async def start(self) -> None:
        """Empty the server and prepare the lane."""
        vouched = await self.client.hgetall(self.bench.keys.meta)
        await self.client.flushall()
        await self.client.hset(self.bench.keys.meta, mapping=vouched)
        await self.set_clock(START_MS)
        await self.bench.topups.prepare(LANE)
        await self.sync()

    async def set_clock(self, now_ms: int) -> None:
        """Let it be this time for both."""
        self.model.now = now_ms
        await self.client.set(CLOCK, now_ms)

    # -- the functions, in both ------------------------------------------------------------------

    async def accept(self) -> None:
        (reply,) = await self.bench.accept(ID)
        entry = await self._entry()
        expected = self.model.accept(entry, self.model.now + DELIVER_BEFORE_MS)
        assert _word(reply) == expected.word

    async def begin(self, owner: str, entry: str, nonce: str) -> Reply:
        begun = await self.bench.begin(ID, owner, nonce, entry=entry)
        self.beats[owner] = self.model.now
        self.model.silent = [name for name in "abc" if self._is_silent(name)]
        expected = self.model.begin(owner, entry, nonce)
        number = begun.after_ms if expected.number else 0
        assert (begun.status, number) == (expected.word, expected.number)
        return expected

    async def finish(self, nonce: str, to: str) -> Reply:
        word, _ = await self.bench.finish(ID, nonce, State(to))
        expected = self.model.finish(nonce, to)
        assert word == expected.word
        return expected

    async def park(self, nonce: str, why: str, delay_ms: int) -> Reply:
        word, granted_ms = await self.bench.park(ID, nonce, why, delay_ms=delay_ms)
        expected = self.model.park(nonce, why, delay_ms)
        assert (word, granted_ms) == (expected.word, expected.number)
        return expected

    async def wake(self) -> None:
        replies = await self.bench.topups.wake_due(0, now_ms=self.model.now, count_max=9)
        due = self.model.due
        is_due = due is not None and due <= self.model.now
        expected = [self.model.wake(await self._entry()).word] if is_due else []
        assert list(replies) == expected

    async def expire(self) -> None:
        """Look over what is not delivered; the reply stays inside, its effect is compared."""
        await self.bench.topups.expire_unread(0, LANE, after="0-0", count_max=9)
        if "" in self.model.entries.values():
            self.model.expire()

    async def resolve(self, to: str, asked_at_ms: int) -> Reply:
        word, detail = await self.bench.resolve(ID, State(to), asked_at_ms=asked_at_ms)
        expected = self.model.resolve(to, asked_at_ms)
        assert word == expected.word
        assert word != "too_soon" or int(detail) == expected.number
        return expected

    async def bury(self, entry: str) -> None:
        word = await self.bench.bury(ID, entry)
        assert word == self.model.bury(entry).word

    async def hold(self, *, held: bool) -> None:
        if held:
            await self.bench.lanes.hold(LANE, act=act_by("test", why="people"))
        else:
            await self.bench.lanes.release(LANE, act=act_by("test", why=""))
        self.model.held = held

    # -- deliveries ------------------------------------------------------------------------------

    async def read(self, owner: str) -> list[str]:
        """Deliver what is new, or again what was delivered to this owner."""
        await self.beat(owner)
        await self.bench.deliver(owner)
        for entry, holder in self.model.entries.items():
            if not holder:
                self.model.entries[entry] = owner
        return [entry for entry, holder in self.model.entries.items() if holder == owner]

    async def claim(self, owner: str) -> None:
        await self.beat(owner)
        reader = GroupReader(self.client, self.client, group=DISPATCHER_GROUP, consumer=owner)
        await reader.claim(self.bench.stream, self.bench.keys.alive, count_max=9)
        for entry, holder in list(self.model.entries.items()):
            if holder and holder != owner and self._is_silent(holder):
                self.model.claim(owner, entry)

    async def beat(self, owner: str) -> None:
        self.beats[owner] = self.model.now
        await self.client.zadd(self.bench.keys.alive, {owner: self.model.now})

    def _is_silent(self, owner: str) -> bool:
        beat = self.beats.get(owner)
        return beat is None or abs(self.model.now - beat) > SILENT_MS

    # -- a failover ------------------------------------------------------------------------------

    async def sync(self) -> None:
        """Let the replica have everything."""
        keys = sorted(await self.client.keys("topup:*"))
        pipe = self.client.pipeline(transaction=False)
        for key in keys:
            pipe.dump(key).pttl(key)
        found = await pipe.execute()
        dumps = list(zip(found[::2], found[1::2], strict=True))
        model = self.model
        self.replica = Kept(
            dict(zip(keys, dumps, strict=True)),
            model.record and msgspec.structs.replace(model.record),
            dict(model.entries), model.due, model.told, dict(self.beats),
        )  # fmt: skip

    async def fail_over(self) -> None:
        """Promote the replica: what came after its last sync is undone."""
        kept = self.replica
        assert kept is not None, "there is one from the start"
        pipe = self.client.pipeline().delete(*await self.client.keys("topup:*"))
        for key, (dump, left_ms) in kept.dumps.items():
            pipe.restore(key, max(left_ms, 0), dump)
        await pipe.execute()
        model = self.model
        model.record = kept.record and msgspec.structs.replace(kept.record)
        model.entries, model.due, model.told = dict(kept.entries), kept.due, kept.told
        model.held = (await self.bench.lane()).state == "held"
        self.beats = dict(kept.beats)

    # -- are they alike? -------------------------------------------------------------------------

    async def compare(self) -> None:
        """The record, its carrier and what was told: the same in both."""
        found = await self._look()
        model = self.model
        assert _as_told(found.record) == _as_told(_fields(model.record))
        assert found.pending | dict.fromkeys(found.unread, "") == model.entries
        assert found.told == model.told
        assert found.due == model.due
        if found.record.get("state") in FINAL:
            assert found.left_ms > 0

    async def _look(self) -> Found:
        """Return all of it in one round trip: there is a look after each step."""
        keys, stream = self.bench.keys, self.bench.stream
        pipe = self.client.pipeline(transaction=False)
        pipe.hgetall(keys.record(ID)).pttl(keys.record(ID)).zscore(keys.waiting, ID)
        pipe.xpending_range(stream, DISPATCHER_GROUP, "-", "+", MANY)
        pipe.xinfo_groups(stream).xrange(stream).xrange(keys.outcomes)
        record, left_ms, due, pending, groups, entries, outcomes = await pipe.execute()
        (read_to,) = [
            _place(group["last-delivered-id"])
            for group in groups
            if group["name"] == DISPATCHER_GROUP.encode()
        ]
        return Found(
            record={name.decode(): value.decode() for name, value in record.items()},
            left_ms=left_ms,
            due=None if due is None else int(due),
            pending={row["message_id"].decode(): row["consumer"].decode() for row in pending},
            unread=[entry.decode() for entry, _ in entries if _place(entry) > read_to],
            told=tuple(fields[b"state"].decode() for _, fields in outcomes),
        )

    async def _entry(self) -> str:
        return (await self.bench.record(ID)).get("entry", "")


def _place(entry: bytes) -> tuple[int, int]:
    """Return an entry's place in its stream, as something that can be compared."""
    ms, _, number = entry.partition(b"-")
    return int(ms), int(number)


def _word(reply: Any) -> str:
    return str(reply.status)


def _fields(record: Record | None) -> dict[str, str]:
    if record is None:
        return {}
    fields = msgspec.structs.asdict(record)
    if record.first_send_at == NEVER:
        fields["first_send_at"] = 0
    return {name: str(value) for name, value in fields.items()}


def _as_told(fields: dict[str, str]) -> dict[str, str]:
    """Return the fields of section 4 that are still read; an absent one is empty or 0."""
    names = msgspec.structs.asdict(Record()).keys() - {"lane", "route", "tried"}
    left = {name: value for name in names if (value := fields.get(name, "")) not in ("", "0")}
    gone = ("deliver_before", "first_send_at", "doubt", "quarantine_until")
    if fields.get("state") in FINAL:
        left = {name: value for name, value in left.items() if name not in gone}
    return left
