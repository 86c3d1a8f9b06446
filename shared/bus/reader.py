"""Reads streams as one consumer of a group: what is new, what is its own, what the silent left."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from shared.bus.calls import WAITED_S_MAX, Caller, on_all_disks, waits
from shared.contracts.limits import BATCH_MAX
from shared.runtime.redis import Client
from shared.runtime.resp import Command

ANSWER_MS_MAX: Final = 5_000
"""How much longer than it was asked to block a read may take; then its connection is dead."""
LOOK_S: Final = 0.1


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
        self._caller = Caller(client, replicas=0)
        self._group = group
        self._consumer = consumer

    async def read(
        self, streams: Sequence[str], *, count_max: int, block_ms: int | None
    ) -> list[Entry]:
        """Return new entries; waits up to `block_ms` for the first, or not at all where None.

        The streams must be of those that may be named `together`.

        Raises:
            RedisError: no answer came; what was delivered with it stays pending.
        """
        head: Command = "XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", count_max
        tail: Command = "STREAMS", *streams, *[">"] * len(streams)
        if block_ms is None:
            found = await self._client.ask(streams[0], *head, *tail)
        else:
            command = (*head, "BLOCK", block_ms, *tail)
            found = await _patiently(self._client, streams[0], command, block_ms=block_ms)
        return _entries(found)

    def together(self, streams: Sequence[str]) -> list[list[str]]:
        """Return the streams in groups, each of which one read may name."""
        groups: list[list[str]] = self._client.together(streams)
        return groups

    async def ack(self, entries: Sequence[Entry]) -> None:
        """Acknowledge; what these entries asked for must be durable by now."""
        by_stream = _ids_by_stream(entries)
        for streams in self.together(list(by_stream)):
            acks: list[Command] = [
                ("XACK", stream, self._group, *by_stream[stream]) for stream in streams
            ]
            for reply in await self._client.ask_each(streams[0], acks):
                if isinstance(reply, Exception):
                    raise reply

    async def pending(self, stream: str) -> list[Entry]:
        """Return all that was delivered to this consumer and is not acknowledged.

        For after a read without an answer: what was delivered with it is in nobody's hands.
        """
        found: list[Entry] = []
        after = b"0-0"
        while True:
            reply = await self._client.ask(
                stream,
                *("XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", BATCH_MAX),
                *("STREAMS", stream, after),
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
        by_stream = _ids_by_stream(entries)
        there: set[tuple[str, str]] = set()
        for streams in self.together(list(by_stream)):
            claims: list[Command] = [
                ("XCLAIM", stream, self._group, self._consumer, 0, *by_stream[stream], "JUSTID")
                for stream in streams
            ]
            commands = [*claims, *waits(replicas)]
            replies = await self._client.ask_patiently(streams[0], commands, answer_s=WAITED_S_MAX)
            for reply in replies[: len(claims)]:
                if isinstance(reply, Exception):
                    raise reply
            on_all_disks(replies[-1], replicas)
            for stream, rows in zip(streams, replies, strict=False):
                there.update((stream, found.decode()) for found in rows)
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

    Streams that no command may name together are looked at again and again meanwhile.

    Raises:
        RedisError: no answer, or none that helps.
    """
    groups = client.together(list(positions))
    if len(groups) == 1:
        command = ("XREAD", "COUNT", count_max, "BLOCK", block_ms, *_behind(positions))
        found = await _patiently(client, groups[0][0], command, block_ms=block_ms)
        return _entries(found)
    until = asyncio.get_running_loop().time() + block_ms / 1_000
    while True:
        places = [{stream: positions[stream] for stream in group} for group in groups]
        replies = await asyncio.gather(
            *(
                client.ask(next(iter(place)), "XREAD", "COUNT", count_max, *_behind(place))
                for place in places
            )
        )
        entries = [entry for found in replies for entry in _entries(found)]
        if entries or asyncio.get_running_loop().time() > until:
            return entries
        await asyncio.sleep(LOOK_S)


async def _patiently(client: Client, key: str, command: Command, *, block_ms: int) -> Any:  # noqa: ANN401 - as Redis has it
    answer_s = (block_ms + ANSWER_MS_MAX) / 1_000
    (reply,) = await client.read_patiently(key, command, answer_s=answer_s)
    if isinstance(reply, Exception):
        raise reply
    return reply


def _behind(positions: Mapping[str, str]) -> Command:
    return ("STREAMS", *positions, *positions.values())


def _entries(found: Any) -> list[Entry]:  # noqa: ANN401 - as Redis has it
    return [entry for stream, rows in found or () for entry in read_rows(stream.decode(), rows)]


def _ids_by_stream(entries: Sequence[Entry]) -> dict[str, list[str]]:
    by_stream: dict[str, list[str]] = {}
    for entry in entries:
        by_stream.setdefault(entry.stream, []).append(entry.id)
    return by_stream


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
