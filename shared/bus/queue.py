"""Where all topups are, by state and by lane: the figures of queue-stats and of `topup status`."""

import msgspec

from shared.bus.beats import heard
from shared.bus.records import LaneState
from shared.bus.topups import Topups
from shared.contracts.catalogue import OFFERS
from shared.contracts.limits import SILENT_MS
from shared.contracts.states import State
from shared.contracts.streams import DISPATCHER_GROUP
from shared.runtime.redis import Client

_SAID = {
    State.QUEUED: "waiting",
    State.ACTIVE: "active",
    State.WAITING: "delayed",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    State.UNRESOLVED: "unresolved",
}
"""In the record `waiting` is parked; for the admin that is `delayed`, and waiting is queued."""
assert set(_SAID) == set(State), "every state is counted somewhere"


class Counts(msgspec.Struct, kw_only=True):
    """How many topups are where, since the streams began."""

    waiting: int = 0
    active: int = 0
    delayed: int = 0
    completed: int = 0
    failed: int = 0
    unresolved: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(msgspec.structs.astuple(self))


class LaneFigures(msgspec.Struct, kw_only=True):
    """One provider's lane, over all partitions; times are milliseconds since the epoch.

    `completed`, `failed` and `unresolved`: what has ended there, since the streams began.
    `served`: a dispatcher that lives has the provider's access; else nothing on it can be sold.
    """

    state: str = "open"
    served: bool = False
    reason: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    waiting: int = 0
    active: int = 0
    delayed: int = 0
    completed: int = 0
    failed: int = 0
    unresolved: int = 0
    oldest_waiting_seconds: int = 0


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """One replica as it last spoke of itself."""

    service: str
    id: str
    active: int
    concurrency: int
    silent_ms: int


class Queue(msgspec.Struct, kw_only=True):
    """Where all topups are, and who is at work."""

    counts: Counts
    lanes: dict[str, LaneFigures]
    replicas: list[Replica]


async def read_queue(client: Client, topups: Topups, *, now_ms: int) -> Queue:
    """Return the queue as it is; changes nothing. `now_ms` is what beats are measured by."""
    counts, lanes = Counts(), {provider: LaneFigures() for provider in OFFERS}
    server_ms = await topups.now_ms()
    for partition in range(len(topups.keys)):
        counters = await topups.counters(partition)
        held = await topups.lanes(partition)
        for state, name in _SAID.items():
            setattr(counts, name, getattr(counts, name) + counters.get(state.value, 0))
        for provider, lane in lanes.items():
            _add(lane, provider, counters, held.get(provider))
            if counters.get(f"{State.QUEUED}:{provider}", 0) > 0:
                stream = topups.keys[partition].requests(provider)
                age = await _oldest_seconds(client, stream, server_ms)
                lane.oldest_waiting_seconds = max(lane.oldest_waiting_seconds, age)
    beats = await heard(client, now_ms=now_ms)
    for beat in beats:
        for provider in lanes.keys() & set(beat.lanes):
            lanes[provider].served |= now_ms - beat.at_ms <= SILENT_MS
    replicas = [
        Replica(
            service=beat.service,
            id=beat.id,
            active=beat.active,
            concurrency=beat.concurrency,
            silent_ms=max(now_ms - beat.at_ms, 0),
        )
        for beat in beats
    ]
    return Queue(counts=counts, lanes=lanes, replicas=replicas)


async def _oldest_seconds(client: Client, stream: str, now_ms: int) -> int:
    """Return the age of the first entry that no dispatcher has read."""
    groups = {row["name"]: row for row in await client.xinfo_groups(stream)}
    read_up_to = groups[DISPATCHER_GROUP.encode()]["last-delivered-id"].decode()
    entries = await client.xrange(stream, f"({read_up_to}", "+", count=1)
    if not entries:
        return 0
    since_ms = int(entries[0][0].decode().partition("-")[0])
    return max(now_ms - since_ms, 0) // 1_000


def _add(
    lane: LaneFigures, provider: str, counters: dict[str, int], held: LaneState | None
) -> None:
    for state, name in _SAID.items():
        here = counters.get(f"{state.value}:{provider}", 0)
        setattr(lane, name, getattr(lane, name) + here)
    if held is not None and held.state != "open":
        lane.state, lane.reason = held.state, held.reason
        lane.since_ms, lane.until_ms = _whole(held.since), _whole(held.until)


def _whole(ms: float | None) -> int | None:
    return None if ms is None else int(ms)
