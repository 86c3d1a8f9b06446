"""What Valkey has of one topup and of its lanes, and whether the model has the same."""

from collections.abc import Mapping
from typing import Final

import msgspec

from shared.contracts.streams import DISPATCHER_GROUP
from tests.integration.bus.bench import Bench
from tests.model.functions import FINAL, NEVER, Record, Server

ID: Final = "t"
MANY: Final = 100
"""More entries than one topup ever has."""
_ENDED: Final = ("deliver_before", "first_send_at", "doubt", "quarantine_until", "since", "route")
"""Fields that say nothing any more once it has ended."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What Valkey has of the topup after a step; entries are named by their lane."""

    record: dict[str, str]
    left_ms: int
    due: int | None
    pending: dict[str, str]
    unread: list[str]
    told: tuple[str, ...]
    counters: dict[str, int]


async def look(lanes: Mapping[str, Bench]) -> Found:
    """Return all of it in one round trip: there is a look after each step."""
    first = next(iter(lanes.values()))
    keys = first.keys
    pipe = first.client.pipeline(transaction=False)
    pipe.hgetall(keys.record(ID)).pttl(keys.record(ID)).zscore(keys.waiting, ID)
    pipe.xrange(keys.outcomes).hgetall(keys.counters)
    for bench in lanes.values():
        pipe.xpending_range(bench.stream, DISPATCHER_GROUP, "-", "+", MANY)
        pipe.xinfo_groups(bench.stream).xrange(bench.stream)
    record, left_ms, due, outcomes, counters, *streams = await pipe.execute()
    pending: dict[str, str] = {}
    unread: list[str] = []
    for lane, rows, groups, entries in zip(
        lanes, streams[::3], streams[1::3], streams[2::3], strict=True
    ):
        for row in rows:
            pending[f"{lane}:{row['message_id'].decode()}"] = row["consumer"].decode()
        (read_to,) = [
            _place(group["last-delivered-id"])
            for group in groups
            if group["name"] == DISPATCHER_GROUP.encode()
        ]
        unread += [f"{lane}:{entry.decode()}" for entry, _ in entries if _place(entry) > read_to]
    return Found(
        record={name.decode(): value.decode() for name, value in record.items()},
        left_ms=left_ms,
        due=None if due is None else int(due),
        pending=pending,
        unread=unread,
        told=tuple(fields[b"state"].decode() for _, fields in outcomes),
        counters={name.decode(): int(number) for name, number in counters.items()},
    )


def compare(found: Found, model: Server, names: Mapping[str, str]) -> None:
    """Hold the record, its carrier, what was told and what is counted against the model.

    `names` are the lanes' own; the model's are `1` and `2`.

    Raises:
        AssertionError: they are not alike.
    """
    record = model.record
    assert _as_told(_theirs(found.record, names)) == _as_told(_ours(record))
    assert found.pending | dict.fromkeys(found.unread, "") == model.entries
    assert found.told == model.told
    assert found.due == model.due
    counted = {name: number for name, number in found.counters.items() if number}
    counted.pop("replayed", None)
    assert record is not None, "it was accepted"
    expected = ("accepted", record.state, f"{record.state}:{names[record.lane]}")
    assert counted == dict.fromkeys(expected, 1)
    if record.state in FINAL:
        assert found.left_ms > 0


def _place(entry: bytes) -> tuple[int, int]:
    """Return an entry's place in its stream, as something that can be compared."""
    ms, _, number = entry.partition(b"-")
    return int(ms), int(number)


def _theirs(fields: dict[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Return Valkey's record with the model's names of lanes and entries."""
    lanes = {name: lane for lane, name in names.items()}
    lane = lanes[fields.get("lane", names["1"])]
    route = lanes[fields["route"]] if fields.get("route") else ""
    entry = f"{lane}:{fields['entry']}" if fields.get("entry") else ""
    return fields | {"lane": lane, "route": route, "entry": entry}


def _ours(record: Record | None) -> dict[str, str]:
    if record is None:
        return {}
    fields = msgspec.structs.asdict(record)
    if record.first_send_at == NEVER:
        fields["first_send_at"] = 0
    return {name: str(value) for name, value in fields.items()}


def _as_told(fields: dict[str, str]) -> dict[str, str]:
    """Return the fields of section 4 that are still read; an absent one is empty or 0."""
    names = msgspec.structs.asdict(Record()).keys() - {"tried"}
    left = {name: value for name in names if (value := fields.get(name, "")) not in ("", "0")}
    if fields.get("state") in FINAL:
        left = {name: value for name, value in left.items() if name not in _ENDED}
    return left
