"""One lane on a real server, and short words for what is done to it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from shared.bus.lanes import Lanes
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
from shared.bus.reader import Entry, GroupReader
from shared.bus.records import LaneState, Record
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.contracts.events import TopupRequested, encode, route_in
from shared.contracts.states import State
from shared.contracts.streams import DISPATCHER_GROUP
from shared.runtime.redis import Client
from tests.integration.bus.snapshot import Snapshot, pass_time, snapshot

LANE: Final = "LATCOM"
LEASE_MS: Final = 60_000
QUARANTINE_MS: Final = 90_000
DEDUPE_WINDOW_MS: Final = 600_000
DELIVER_BEFORE_MS: Final = 3_600_000
WINDOW_MS: Final = 86_400_000
HOLD_MS: Final = 1_000
SILENCE_MS: Final = 6_000
SLACK_MS: Final = 30_000
"""Real time that a slow machine may spend inside one test; no expectation is closer than this."""

BODY: Final = encode(
    TopupRequested(
        customer_id="C",
        phone="+525512345678",
        country="MX",
        amount_minor=1_000,
        currency="MXN",
        provider=LANE,
        product="XOOM_10_MXN",
    )
)


def terms(kind: str, *, covers: bool = False, breaker: int = 0) -> Terms:
    """Return the terms of a provider of this kind."""
    return Terms(
        kind=kind,
        lease_ms=LEASE_MS,
        quarantine_ms=QUARANTINE_MS,
        dedupe_window_ms=DEDUPE_WINDOW_MS,
        refusal_covers=covers,
        hold_ms=HOLD_MS,
        breaker=breaker,
    )


class Bench:
    """Partition 0 of one, one lane, several owners; the kind of provider is set by the test."""

    def __init__(self, client: Client, lane: str = LANE) -> None:
        self.client = client
        self.lane_name = lane
        self.topups = Topups(client, partitions=1, window_ms=WINDOW_MS)
        self.lanes = Lanes(client, self.topups)
        self.keys = self.topups.keys[0]
        self.stream = self.keys.requests(lane)
        self.kind = "neither"
        self.covers = False
        self.breaker = 0

    @property
    def terms(self) -> Terms:
        """The terms of the provider of now."""
        return terms(self.kind, covers=self.covers, breaker=self.breaker)

    # -- steps -------------------------------------------------------------------------------

    async def accept(
        self,
        *ids: str,
        key: str = "",
        fingerprint: str = "print",
        body: bytes = BODY,
        route: tuple[str, ...] = (),
    ) -> list[Accepted | ItemFailed]:
        """Accept all of them in one batch."""
        items = [
            Acceptance(id=topup_id, fingerprint=fingerprint, key_hash=key, body=body, route=route)
            for topup_id in ids
        ]
        return await self.topups.accept(
            0, self.lane_name, items, deliver_before_ms=DELIVER_BEFORE_MS
        )

    async def deliver(self, owner: str) -> dict[str, Entry]:
        """Read all that is new as this owner; return it by topup."""
        reader = GroupReader(self.client, group=DISPATCHER_GROUP, consumer=owner)
        entries = await reader.read([self.stream], count_max=1_000, block_ms=None)
        return {entry.fields["id"].decode(): entry for entry in entries}

    async def begin(
        self, topup_id: str, owner: str, nonce: str, *, entry: str | None = None, key: str = ""
    ) -> Begun:
        """Begin an attempt, by default from the entry that the record names."""
        if entry is None:
            entry = (await self.record(topup_id)).get("entry", "")
        route = route_in((await self.record(topup_id)).get("body", "").encode())
        work = Work(id=topup_id, entry=entry, key_hash=key, nonce=nonce, route=route)
        (begun,) = await self.topups.begin(0, self.lane_name, [work], owner=owner, terms=self.terms)
        assert isinstance(begun, Begun), begun
        return begun

    async def start(self, topup_id: str, owner: str = "a", nonce: str = "n1") -> Begun:
        """Accept one topup, deliver it to the owner and begin."""
        await self.accept(topup_id)
        await self.deliver(owner)
        return await self.begin(topup_id, owner, nonce)

    async def finish(
        self, topup_id: str, nonce: str, to: State, *, reason: str = "", key: str = ""
    ) -> tuple[str, str]:
        """Finish an attempt."""
        outcome = Outcome(
            id=topup_id, key_hash=key, nonce=nonce, to=to, reason=reason,
            provider_reference="ref", evidence=b"evidence",
        )  # fmt: skip
        (reply,) = await self.topups.finish(0, self.lane_name, [outcome], terms=self.terms)
        assert not isinstance(reply, ItemFailed), reply
        return reply

    async def park(
        self,
        topup_id: str,
        nonce: str,
        why: str,
        *,
        delay_ms: int = 0,
        reason: str = "reason",
        said: bytes = b"",
    ) -> tuple[str, int]:
        """Park an attempt."""
        parking = Parking(
            id=topup_id, key_hash="", nonce=nonce, delay_ms=delay_ms, why=why, reason=reason,
            said=said,
        )  # fmt: skip
        (reply,) = await self.topups.park(0, self.lane_name, [parking], terms=self.terms)
        assert not isinstance(reply, ItemFailed), reply
        return reply

    async def hand_on(
        self, topup_id: str, nonce: str, why: str, *, reason: str = "reason"
    ) -> tuple[str, str]:
        """End an attempt for another lane of its route."""
        handing = Handing(
            id=topup_id, key_hash="", nonce=nonce, why=why, reason=reason, said=b"",
            route=route_in((await self.record(topup_id)).get("body", "").encode()),
        )  # fmt: skip
        (reply,) = await self.topups.hand_on(0, self.lane_name, [handing], terms=self.terms)
        assert not isinstance(reply, ItemFailed), reply
        return reply

    async def wake(self) -> dict[str, int]:
        """Wake what is due."""
        return await self.topups.wake_due(0, now_ms=await self.topups.now_ms(), count_max=256)

    async def again(self, topup_id: str, owner: str, nonce: str) -> Begun:
        """Wake, deliver and begin what is parked."""
        assert await self.wake() == {"woken": 1}
        await self.deliver(owner)
        return await self.begin(topup_id, owner, nonce)

    async def bury(self, topup_id: str, entry: str | None = None) -> str:
        """Bury an entry, by default the one that the record names."""
        if entry is None:
            entry = (await self.record(topup_id)).get("entry", "")
        return await self.topups.bury(
            0,
            self.lane_name,
            topup_id=topup_id,
            key_hash="",
            entry=entry,
            reason="why",
            payload=b"bytes",
        )

    async def resolve(
        self, topup_id: str, to: State, *, asked_at_ms: int, proposal: str = "p1"
    ) -> tuple[str, str]:
        """Resolve by hand, as proposed; without a proposal, as a machine does."""
        (record,) = await self.topups.look(0, [topup_id])
        assert isinstance(record, Record)
        return await self.topups.resolve(
            0,
            record,
            to=to,
            asked_at_ms=asked_at_ms,
            provider_reference="ref",
            evidence=b"found",
            act=act_by("ana", why="they say so"),
            proposal=proposal,
        )

    # -- what happens meanwhile ----------------------------------------------------------------

    async def pass_time(self, ms: int) -> None:
        """Let so much time pass."""
        await pass_time(self.client, ms)

    async def beat(self, owner: str) -> None:
        """Show that the owner is alive."""
        await self.client.zadd(self.keys.alive, {owner: await self.topups.now_ms()})

    async def silence(self, owner: str) -> None:
        """Make the owner's last beat too old."""
        await self.client.zadd(self.keys.alive, {owner: await self.topups.now_ms() - SILENCE_MS})

    # -- looking ---------------------------------------------------------------------------------

    async def record(self, topup_id: str) -> dict[str, str]:
        """Return a record's fields."""
        found = await self.client.hgetall(self.keys.record(topup_id))
        return {name.decode(): value.decode() for name, value in found.items()}

    async def state(self, topup_id: str) -> str:
        """Return a record's state."""
        return (await self.record(topup_id))["state"]

    async def outcomes(self, topup_id: str) -> list[tuple[int, str]]:
        """Return what was published of a topup: (seq, state) in order."""
        return [
            (int(fields[b"seq"]), fields[b"state"].decode())
            for _, fields in await self.client.xrange(self.keys.outcomes)
            if fields[b"id"] == topup_id.encode()
        ]

    async def pending(self) -> dict[str, str]:
        """Return the delivered and not acknowledged entries of the lane, and whose they are."""
        rows = await self.client.xpending_range(self.stream, DISPATCHER_GROUP, "-", "+", 1_000)
        return {row["message_id"].decode(): row["consumer"].decode() for row in rows}

    async def due_in_ms(self, topup_id: str) -> float:
        """Return how long until a parked topup is due."""
        due = await self.client.zscore(self.keys.waiting, topup_id)
        assert due is not None, "it is not parked"
        return float(due) - await self.topups.now_ms()

    async def dead(self) -> list[tuple[str, str]]:
        """Return (id, reason) of what was put aside for people."""
        return [
            (fields[b"id"].decode(), fields[b"reason"].decode())
            for _, fields in await self.client.xrange(self.keys.dead)
        ]

    async def lane(self) -> LaneState:
        """Return the lane's state."""
        return (await self.topups.lanes(0)).get(self.lane_name, LaneState())

    async def snapshot(self) -> Snapshot:
        """Return all that is stored."""
        return await snapshot(self.client)

    async def check_counters(self) -> None:
        """The counters are the number of records in each state, in all and by lane."""
        counted: dict[str, int] = {}
        for key in await self.client.keys(f"{self.keys.prefix}record:*"):
            if await self.client.type(key) == b"hash":
                found = await self.client.hmget(key, "state", "lane", "body")
                state = found[0].decode()
                lane = found[1].decode() if route_in(found[2] or b"") else LANE
                for name in (state, f"{state}:{lane}"):
                    counted[name] = counted.get(name, 0) + 1
        counters = await self.topups.counters(0)
        states = {name: n for name, n in counters.items() if n and name.split(":")[0] in set(State)}
        assert states == counted
        assert counters.get("accepted", 0) == sum(counted.get(state, 0) for state in State)


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it is so."""
    async with asyncio.timeout(10):
        while True:
            if await look():
                return
            await asyncio.sleep(0.01)


async def write_lane(bench: Bench, **fields: Any) -> None:
    """Put the lane into a state by hand."""
    await bench.client.hset(bench.keys.lanes, bench.lane_name, msgspec.json.encode(fields))
