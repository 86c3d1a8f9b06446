"""What the streams still hold: how old the oldest topup of a lane is, how far a group is behind."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from shared.bus.records import text
from shared.bus.topups import Topups
from shared.contracts.states import State
from shared.contracts.streams import DISPATCHER_GROUP, LEDGER_GROUP, PartitionKeys
from shared.runtime.redis import Client
from shared.runtime.resp import Command

LOOKED_AT: Final = 100
"""Of what is at work, and of what is parked and due first: an age costs the same at any length."""
UNREAD_LOOKED_AT: Final = 16
"""What was put back on its lane is older than what stands before it."""
ON_LANE: Final = (State.QUEUED, State.ACTIVE, State.WAITING)


class Behind(msgspec.Struct):
    """What a group has not done of a stream: entries, None where the server cannot tell; ms."""

    unread: int | None = 0
    pending: int = 0
    oldest_age_ms: int = 0


class Unfinished(msgspec.Struct, kw_only=True):
    """All partitions together; `groups` is by stream (without its partition) and group."""

    lanes: dict[str, dict[str, int]]
    oldest_age_ms: dict[str, int]
    groups: dict[tuple[str, str], Behind]
    conservation_error: int = 0


async def read_unfinished(
    client: Client, topups: Topups, *, providers: Sequence[str]
) -> Unfinished:
    """Return it by the server's clock; changes nothing, and takes as long however much waits.

    Raises:
        RedisError, OSError: the server does not answer.
    """
    seen = Unfinished(
        lanes={name: dict.fromkeys(ON_LANE, 0) for name in providers},
        oldest_age_ms=dict.fromkeys(providers, 0),
        groups={},
    )
    for partition, names in enumerate(topups.keys):
        counters = await topups.counters(partition)
        _count(seen, counters)
        now_ms = await topups.now_ms(partition)
        await _look_at_streams(seen, client, names, now_ms)
        await _look_at_parked(seen, client, names, now_ms)
    return seen


def _count(seen: Unfinished, counters: dict[str, int]) -> None:
    for provider, states in seen.lanes.items():
        for state in ON_LANE:
            states[state] += counters.get(f"{state}:{provider}", 0)
    everywhere = sum(counters.get(state, 0) for state in State)
    seen.conservation_error += counters.get("accepted", 0) - everywhere


async def _look_at_streams(
    seen: Unfinished, client: Client, names: PartitionKeys, now_ms: int
) -> None:
    streams = [*map(names.requests, seen.lanes), names.outcomes, names.acts]
    there = await _ask(client, names, [("EXISTS", stream) for stream in streams])
    streams = [stream for stream, exists in zip(streams, there, strict=True) if exists]
    told = await _ask(client, names, [("XINFO", "GROUPS", stream) for stream in streams])
    for stream, rows in zip(streams, told, strict=True):
        for row in rows:
            group = {text(name): value for name, value in zip(row[::2], row[1::2], strict=True)}
            reader = text(group["name"])
            if reader in (DISPATCHER_GROUP, LEDGER_GROUP):
                since = await _undone(
                    client, names, stream, reader, text(group["last-delivered-id"])
                )
                age_ms = max((now_ms - ms for ms in since), default=0)
                short = stream.removeprefix(names.prefix)
                _add(seen.groups.setdefault((short, reader), Behind()), group, age_ms)
                if reader == DISPATCHER_GROUP:
                    _older(seen, stream.rpartition(":")[2], age_ms)


def _add(behind: Behind, group: dict[str, Any], age_ms: int) -> None:
    unknown = behind.unread is None or group.get("lag") is None
    behind.unread = None if unknown else (behind.unread or 0) + int(group["lag"])
    behind.pending += int(group["pending"])
    behind.oldest_age_ms = max(behind.oldest_age_ms, age_ms)


async def _undone(
    client: Client, names: PartitionKeys, stream: str, group: str, read_up_to: str
) -> list[int]:
    """Return since when the first entries are there that the group has not done."""
    pending, unread = await _ask(
        client,
        names,
        [
            ("XPENDING", stream, group, "-", "+", LOOKED_AT),
            ("XRANGE", stream, f"({read_up_to}", "+", "COUNT", UNREAD_LOOKED_AT),
        ],
    )
    found = await _ask(client, names, [("XRANGE", stream, row[0], row[0]) for row in pending])
    return list(_since([*unread, *(row for rows in found for row in rows)], group))


def _since(rows: Sequence[Any], group: str) -> Iterator[int]:
    """Yield when each topup was accepted; for who books, when the entry was written."""
    for entry, fields in rows:
        named = dict(zip(fields[::2], fields[1::2], strict=True))
        accepted = named.get(b"at", b"") if group == DISPATCHER_GROUP else b""
        yield int(accepted if accepted.isdigit() else text(entry).partition("-")[0])


async def _look_at_parked(
    seen: Unfinished, client: Client, names: PartitionKeys, now_ms: int
) -> None:
    (due,) = await _ask(client, names, [("ZRANGE", names.waiting, 0, LOOKED_AT - 1)])
    records = [("HMGET", names.record(text(one)), "lane", "at") for one in due]
    for lane, accepted in await _ask(client, names, records):
        if lane is not None and accepted is not None:
            _older(seen, text(lane), now_ms - int(accepted))


def _older(seen: Unfinished, provider: str, age_ms: int) -> None:
    if provider in seen.oldest_age_ms:
        seen.oldest_age_ms[provider] = max(seen.oldest_age_ms[provider], age_ms)


async def _ask(client: Client, names: PartitionKeys, commands: Sequence[Command]) -> list[Any]:
    replies: list[Any] = await client.ask_each(names.meta, commands)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
