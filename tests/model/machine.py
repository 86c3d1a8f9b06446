"""The functions on a real Valkey and the model of them, step by step the same.

Only the library's clock is another: it reads a key, so that time passes exactly as told, may go
back, and every time in a record can be compared to the millisecond.
"""

import re
from typing import Final

import msgspec

from shared.bus.messages import Begun, Handing, Work
from shared.bus.reader import GroupReader
from shared.contracts.acts import act_by
from shared.contracts.limits import LANE_TRIES, SILENT_MS
from shared.contracts.states import State
from shared.contracts.streams import DISPATCHER_GROUP, PartitionKeys
from shared.runtime.redis import Client
from tests.integration.bus.bench import (
    BODY,
    DEDUPE_WINDOW_MS,
    DELIVER_BEFORE_MS,
    LANE,
    LEASE_MS,
    QUARANTINE_MS,
    Bench,
)
from tests.integration.bus.test_routes import OTHER, ROUTED
from tests.model.alike import ID, compare, look
from tests.model.functions import Record, Reply, Server, Terms

CLOCK: Final = "clock"
HELD_RECHECK_MS: Final = 5_000
NAMES: Final = {"1": LANE, "2": OTHER}
START_MS: Final = 1_700_000_000_000
_TIME: Final = re.compile(rb"local t = redis\.call\('TIME'\)\n  return [^\n]*\n")
_TOLD: Final = b"return tonumber(redis.call('GET', '" + CLOCK.encode() + b"'))\n"


async def load_with_clock(client: Client, library: bytes) -> None:
    """Load this text of the library as it is, but for its clock."""
    told, found = _TIME.subn(_TOLD, library)
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


class Pair:
    """One topup in Valkey and in the model; each call is made in both and must answer alike.

    An entry is named `<lane>:<id>`, and lanes as in the model: `1`, and `2` where it is `routed`.
    """

    def __init__(
        self,
        client: Client,
        kind: str,
        *,
        covers: bool = False,
        routed: bool = False,
        replicated: bool = False,
    ) -> None:
        self.client = client
        self.lanes = {lane: Bench(client, NAMES[lane]) for lane in ("12" if routed else "1")}
        for bench in self.lanes.values():
            bench.kind, bench.covers = kind, covers
        self.bench = self.lanes["1"]
        self.route = tuple(NAMES.values()) if routed else ()
        terms = Terms(
            kind, LEASE_MS, QUARANTINE_MS, DEDUPE_WINDOW_MS, covers, recheck=HELD_RECHECK_MS
        )
        self.model = Server(terms)
        self.beats: dict[str, int] = {}
        self.replicated = replicated
        self.replica: Kept | None = None

    async def start(self) -> None:
        """Empty the server and prepare the lanes."""
        vouched = await self.client.hgetall(self.bench.keys.meta)
        await self.client.flushdb()
        await self.client.hset(self.bench.keys.meta, mapping=vouched)
        await self.set_clock(START_MS)
        for bench in self.lanes.values():
            await bench.topups.prepare(bench.lane_name)

    async def set_clock(self, now_ms: int) -> None:
        """Let it be this time for both."""
        self.model.now = now_ms
        await self.client.set(CLOCK, now_ms)

    # -- the functions, in both ------------------------------------------------------------------

    async def accept(self) -> None:
        body = ROUTED if self.route else BODY
        (reply,) = await self.bench.accept(ID, body=body, route=self.route)
        entry = await self._entry() if self.model.record is None else ""
        deliver_before = self.model.now + DELIVER_BEFORE_MS
        expected = self.model.accept(entry, deliver_before, route="2" if self.route else "")
        assert getattr(reply, "status", reply) == expected.word

    async def begin(self, owner: str, entry: str, nonce: str) -> Reply:
        lane, _, own = entry.partition(":")
        bench = self.lanes[lane]
        work = Work(id=ID, entry=own, key_hash="", nonce=nonce, route=self.route)
        (begun,) = await bench.topups.begin(
            0, bench.lane_name, [work], owner=owner, terms=bench.terms
        )
        assert isinstance(begun, Begun), begun
        self.beats[owner] = self.model.now
        self.model.silent = [name for name in "abc" if self._is_silent(name)]
        onward = await self._onward(moved=begun.status == "moved")
        expected = self.model.begin(owner, entry, nonce, onward)
        self._rename()
        number = begun.after_ms if expected.number else 0
        assert (begun.status, number) == (expected.word, expected.number)
        return expected

    async def finish(self, lane: str, nonce: str, to: str) -> Reply:
        word, _ = await self.lanes[lane].finish(ID, nonce, State(to))
        expected = self.model.finish(nonce, to, lane=lane)
        assert word == expected.word
        return expected

    async def park(self, lane: str, nonce: str, why: str, delay_ms: int) -> Reply:
        word, granted_ms = await self.lanes[lane].park(ID, nonce, why, delay_ms=delay_ms)
        expected = self.model.park(nonce, why, delay_ms)
        assert (word, granted_ms) == (expected.word, expected.number)
        return expected

    async def hand_on(self, lane: str, nonce: str, why: str) -> Reply:
        bench = self.lanes[lane]
        handing = Handing(
            id=ID, key_hash="", nonce=nonce, why=why, reason="no", said=b"", route=self.route
        )
        (reply,) = await bench.topups.hand_on(0, bench.lane_name, [handing], terms=bench.terms)
        assert isinstance(reply, tuple), reply
        onward = await self._onward(moved=reply[0] == "moved")
        expected = self.model.hand_on(nonce, onward, why, lane=lane, tries=LANE_TRIES)
        self._rename()
        assert reply[0] == expected.word
        return expected

    async def wake(self) -> None:
        replies = await self.bench.topups.wake_due(0, now_ms=self.model.now, count_max=9)
        due = self.model.due
        is_due = due is not None and due <= self.model.now
        entry = await self._entry() if is_due else ""
        expected = [self.model.wake(entry, entry).word] if is_due else []
        self._rename()
        assert list(replies) == expected

    async def expire(self) -> None:
        """Look over what is not delivered; the reply stays inside, its effect is compared."""
        for lane, bench in self.lanes.items():
            unread = [e for e, holder in self.model.entries.items() if e[0] == lane and not holder]
            await bench.topups.expire_unread(0, bench.lane_name, after="0-0", count_max=9)
            if unread and self.model.record and self.model.record.lane == lane:
                self.model.expire(await self._entry())
                self._rename()

    async def resolve(self, to: str, asked_at_ms: int) -> Reply:
        word, detail = await self.bench.resolve(ID, State(to), asked_at_ms=asked_at_ms)
        expected = self.model.resolve(to, asked_at_ms)
        assert word == expected.word
        assert word != "too_soon" or int(detail) == expected.number
        return expected

    async def bury(self, entry: str) -> None:
        lane, _, own = entry.partition(":")
        word = await self.lanes[lane].bury(ID, own)
        assert word == self.model.bury(entry).word

    async def hold(self, *, held: bool) -> None:
        """Hold or open the first lane, as people do."""
        if held:
            await self.bench.lanes.hold(LANE, act=act_by("test", why="people"))
        else:
            await self.bench.lanes.release(LANE, act=act_by("test", why=""))
        self.model.held = held

    # -- deliveries ------------------------------------------------------------------------------

    async def read(self, owner: str) -> list[str]:
        """Deliver what is new, or again what was delivered to this owner."""
        await self.beat(owner)
        for bench in self.lanes.values():
            await bench.deliver(owner)
        for entry, holder in self.model.entries.items():
            if not holder:
                self.model.entries[entry] = owner
        return [entry for entry, holder in self.model.entries.items() if holder == owner]

    async def claim(self, owner: str) -> None:
        await self.beat(owner)
        reader = GroupReader(self.client, group=DISPATCHER_GROUP, consumer=owner)
        for bench in self.lanes.values():
            await reader.claim(bench.stream, bench.keys.alive, count_max=9)
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
        """Let the replica, if there is one, have everything."""
        if not self.replicated:
            return
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
        """Hold all that there is of the topup against the model."""
        compare(await look(self.lanes), self.model, NAMES)

    async def _entry(self) -> str:
        """Return the entry that carries it, by its name here."""
        lane, entry = await self.client.hmget(self.bench.keys.record(ID), "lane", "entry")
        names = {name.encode(): lane for lane, name in NAMES.items()}
        return f"{names[lane]}:{entry.decode()}" if entry else ""

    async def _onward(self, *, moved: bool) -> str:
        return await self._entry() if moved else "none"

    def _rename(self) -> None:
        """Call an entry that was moved away unread by its own name: here names mean one thing."""
        entries = self.model.entries
        for entry in [entry for entry in entries if entry[0] == "s"]:
            entries[entry[1:]] = entries.pop(entry)
