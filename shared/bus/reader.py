"""Reads streams as one consumer of a group: what is new, what is its own, what the silent left."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from shared.bus.calls import WAITS_MS, Caller, on_all_disks
from shared.contracts.limits import BATCH_MAX
from shared.runtime.connections import Line, Lines
from shared.runtime.redis import Client
from shared.runtime.resp import Command

ANSWER_MS_MAX: Final = 5_000
"""How much longer than it was asked to block a read may take; then its connection is dead."""


class Entry(msgspec.Struct, frozen=True):
    """One delivery of one stream entry; it comes back until it is acknowledged."""

    stream: str
    id: str
    fields: dict[str, bytes]


class GroupReader:
    """One consumer of one group; `consumer` is the owner, so a restarted process is another one.

    Beat before the first read: the entries of a consumer without a beat are taken by others.
    """

    def __init__(self, client: Client, *, group: str, consumer: str) -> None:
        self._client = client
        self._line: Line = client.line
        self._lines: Lines = client.lines
        self._caller = Caller(client, replicas=0)
        self._group = group
        self._consumer = consumer

    async def read(
        self, streams: Sequence[str], *, count_max: int, block_ms: int | None
    ) -> list[Entry]:
        """Return new entries; waits up to `block_ms` for the first, or not at all where None.

        Raises:
            RedisError: no answer came; what was delivered with it stays pending.
        """
        head = "XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", count_max
        tail = "STREAMS", *streams, *[">"] * len(streams)
        if block_ms is None:
            found = await self._line.ask(*head, *tail)
        else:
            answer_s = (block_ms + ANSWER_MS_MAX) / 1_000
            found = await self._lines.ask(*head, "BLOCK", block_ms, *tail, answer_s=answer_s)
        return [entry for stream, rows in found or () for entry in read_rows(stream.decode(), rows)]

    async def ack(self, entries: Sequence[Entry]) -> None:
        """Acknowledge; what these entries asked for must be durable by now."""
        by_stream = itertools.groupby(
            sorted(entries, key=lambda entry: entry.stream), key=lambda entry: entry.stream
        )
        acks: list[Command] = [
            ("XACK", stream, self._group, *(entry.id for entry in group))
            for stream, group in by_stream
        ]
        for reply in await self._line.ask_each(acks):
            if isinstance(reply, Exception):
                raise reply

    async def pending(self, stream: str) -> list[Entry]:
        """Return all that was delivered to this consumer and is not acknowledged.

        For after a read without an answer: what was delivered with it is in nobody's hands.
        """
        found: list[Entry] = []
        after = b"0-0"
        while True:
            reply = await self._client.xreadgroup(
                self._group, self._consumer, {stream: after}, count=BATCH_MAX
            )
            rows = reply[0][1] if reply else []
            if not rows:
                return found
            found += read_rows(stream, rows)
            after = rows[-1][0]

    async def keep(self, entries: Sequence[Entry], *, replicas: int) -> list[Entry]:
        """Return those entries that are still there, once no failover can undo them any more.

        Claiming them anew is a write about these very entries; after a failover that has lost
        some, the new primary does not know those.

        Raises:
            NotDurable: fewer replicas than that have it on disk by now; ask again.
        """
        by_stream: dict[str, list[str]] = {}
        for entry in entries:
            by_stream.setdefault(entry.stream, []).append(entry.id)
        async with self._client.pipeline(transaction=False) as pipe:
            for stream, ids in by_stream.items():
                pipe.xclaim(stream, self._group, self._consumer, 0, ids, justid=True)
            for wait_ms in WAITS_MS:
                pipe.execute_command("WAITAOF", 1, replicas, wait_ms)
            replies = await pipe.execute()
        on_all_disks(replies[-1], replicas)
        there = {
            (stream, found.decode())
            for stream, rows in zip(by_stream, replies, strict=False)
            for found in rows
        }
        return [entry for entry in entries if (entry.stream, entry.id) in there]

    async def claim(self, stream: str, alive_key: str, *, count_max: int) -> list[Entry]:
        """Take over entries of consumers that have been silent for too long.

        Raises:
            NotAccepted: the server refused; nobody has been taken from.
            NotKnown: no answer; what was taken stays pending, and comes back as lost.
        """
        args = [self._group, self._consumer, count_max]
        return read_rows(stream, await self._caller.call("claim", [stream, alive_key], args))

    async def claim_lost(self, stream: str, *, idle_ms: int, count_max: int) -> list[Entry]:
        """Take entries that nobody has touched for `idle_ms`, whoever has them.

        One call of the server looks at a page of what is pending; the lost may be far behind.
        """
        found: list[Entry] = []
        place = b"0-0"
        while True:
            place, rows, *_ = await self._client.xautoclaim(
                stream, self._group, self._consumer, idle_ms, place, count=count_max - len(found)
            )
            found += read_rows(stream, rows)
            if place == b"0-0" or len(found) >= count_max:
                return found


async def read_after(
    client: Client, positions: Mapping[str, str], *, count_max: int, block_ms: int
) -> list[Entry]:
    """Return what streams have after these ids, up to so many of each; wait for the first.

    Raises:
        RedisError: no answer, or none that helps.
    """
    found = await client.lines.ask(
        *("XREAD", "COUNT", count_max, "BLOCK", block_ms),
        *("STREAMS", *positions, *positions.values()),
        answer_s=(block_ms + ANSWER_MS_MAX) / 1_000,
    )
    return [entry for stream, rows in found or () for entry in read_rows(stream.decode(), rows)]


def read_rows(stream: str, rows: Iterable[Any]) -> list[Entry]:
    """Return entries as commands and functions give them, without those trimmed meanwhile."""
    return [
        Entry(stream, row[0].decode(), _fields(row[1]))
        for row in rows
        if row is not None and row[1] is not None
    ]


def _fields(found: Any) -> dict[str, bytes]:  # noqa: ANN401 - a dict from commands, a list from functions
    pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
    return {name.decode(errors="replace"): value for name, value in pairs}
