"""The heartbeat: who is alive, and what each replica says of itself while it is."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog
from redis.exceptions import RedisError

from shared.contracts.limits import ALIVE_FORGET_MS, SILENT_MS
from shared.contracts.streams import PartitionKeys
from shared.runtime.clock import Clock
from shared.runtime.instance import Instance
from shared.runtime.redis import Client
from shared.runtime.resp import Command

log = structlog.get_logger()


class Beat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a replica says of itself each second; `at_ms` is its own clock."""

    id: str
    service: str
    owner: str
    at_ms: int
    active: int = 0
    concurrency: int = 0
    lanes: list[str] = []  # of a dispatcher: those whose providers' access it has
    database: dict[str, Any] | None = None
    asks: list[str] = []  # providers that it can ask what became of a topup


class Heart:
    """Beats in every partition; work of an owner that is silent for 5 s is taken by others."""

    def __init__(
        self,
        client: Client,
        instance: Instance,
        clock: Clock,
        *,
        partitions: int,
        interval_ms: int,
        say: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._client = client
        self._instance = instance
        self._clock = clock
        self._alive = [PartitionKeys(partition).alive for partition in range(partitions)]
        self._instances = PartitionKeys(0).instances
        self._interval_s = interval_ms / 1_000
        self._say = say

    async def beat(self) -> None:
        """Beat once, in each partition by the clock of its server; one that is away is left out.

        Raises:
            RedisError, OSError: what the first of those that are away said.
        """
        beat = Beat(
            id=self._instance.id,
            service=self._instance.service,
            owner=self._instance.owner,
            at_ms=self._clock.now_ms(),
            **self._say(),
        )
        said: Command = ("HSET", self._instances, self._instance.id, msgspec.json.encode(beat))

        async def at_one(keys: Sequence[str]) -> list[Command]:
            seconds, micros = await self._client.ask(keys[0], "TIME")
            now_ms = int(seconds) * 1_000 + int(micros) // 1_000
            return [("ZADD", key, now_ms, self._instance.owner) for key in keys]

        await self._everywhere(at_one, said)

    async def _everywhere(
        self, at_one: Callable[[Sequence[str]], Awaitable[list[Command]]], said: Command
    ) -> None:
        async def tell(keys: Sequence[str]) -> None:
            commands = await at_one(keys)
            if self._alive[0] in keys:
                commands.append(said)
            for reply in await self._client.ask_each(keys[0], commands):
                if isinstance(reply, Exception):
                    raise reply

        groups = await self._client.by_server(self._alive)
        outcomes = await asyncio.gather(*map(tell, groups), return_exceptions=True)
        for problem in outcomes:
            if problem is not None:
                raise problem

    async def run(self) -> None:
        """Beat until cancelled; a beat that fails is only a beat that is missing."""
        while True:
            try:
                await self.beat()
            except (RedisError, OSError) as error:
                log.warning("beat_missed", problem=str(error))
            await asyncio.sleep(self._interval_s)

    async def stop(self) -> None:
        """Leave the living: what still is pending under this owner may be claimed at once."""

        async def at_one(keys: Sequence[str]) -> list[Command]:
            return [("ZREM", key, self._instance.owner) for key in keys]

        await self._everywhere(at_one, ("HDEL", self._instances, self._instance.id))


async def instances(client: Client, *, now_ms: int) -> list[Beat]:
    """Return the replicas that are alive, by service and id; forget those long gone."""
    beats = await _kept(client)
    gone = [beat.id for beat in beats if now_ms - beat.at_ms > ALIVE_FORGET_MS]
    if gone:
        await client.hdel(PartitionKeys(0).instances, *gone)
    return [beat for beat in beats if now_ms - beat.at_ms <= SILENT_MS]


async def heard(client: Client, *, now_ms: int) -> list[Beat]:
    """Return the replicas that have spoken within the hour and did not leave; forgets nobody."""
    return [beat for beat in await _kept(client) if now_ms - beat.at_ms <= ALIVE_FORGET_MS]


async def _kept(client: Client) -> list[Beat]:
    found = await client.hgetall(PartitionKeys(0).instances)
    beats = [beat for value in found.values() if (beat := _read(value)) is not None]
    return sorted(beats, key=lambda beat: (beat.service, len(beat.id), beat.id))


def _read(value: bytes) -> Beat | None:
    """Return a beat; one that cannot be read must not hide all the others."""
    try:
        return msgspec.json.decode(value, type=Beat)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        log.warning("beat_unreadable", problem=str(problem)[:200])
        return None
