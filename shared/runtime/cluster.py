"""A cluster as if it were one server: each command goes to the primary that has its key's slot.

Who has which slot any node can say. It is asked anew as soon as an answer, or none, shows that it
may have changed. MOVED says that nothing was done, and where to ask: the command follows at once.
TRYAGAIN, ASK and CLUSTERDOWN say so too, but nobody can do it yet: they are left to the callers,
who repeat it as they do with any refusal. A connection that is lost is *not known*, as ever.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from redis.commands.core import AsyncCoreCommands
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ClusterDownError, MovedError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.runtime.resp import Command, NotSent

LOOK_EACH_S: Final = 0.1
LOOK_S_MAX: Final = 1.0
MOVES_MAX: Final = 5
"""How often one command follows: while two servers send it to each other nobody has the slot."""

Ask = Callable[[Any, Sequence[Command]], Awaitable[list[Any]]]


def slot_of(key: str | bytes) -> int:
    """Return the slot of a key, or of the part of it in braces."""
    return key_slot(key.encode() if isinstance(key, str) else key)


class Cluster(AsyncCoreCommands):
    """All primaries; what redis-py calls a command goes by its first key, as do our lean ways.

    `nodes` (host:port) are those to ask first; `open_server` returns a client of one of them.
    """

    _event_dispatcher: Any = None  # redis-py's commands want one, and only its own clients have it

    def __init__(self, nodes: Sequence[str], open_server: Callable[[str], Any]) -> None:
        self._open_server = open_server
        self._nodes = list(nodes)
        self._first = frozenset(nodes)
        self._servers: dict[str, Any] = {}
        self._owners: list[str] = []
        self._looking: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._problem = ""

    # -- asking ----------------------------------------------------------------------------------

    async def ask(self, key: str, *command: str | bytes | float) -> Any:  # noqa: ANN401 - typed by who asks
        """Return the reply to one command about this key; raises as `Line.ask`."""
        (reply,) = await self.ask_each(key, (command,))
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def ask_each(self, key: str, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands sent together to who has this key, errors among them.

        Where one of them has to follow, so do all after it: they must bear to be repeated.
        """
        return await self._follow(key, commands, lambda server, some: server.line.ask_each(some))

    async def ask_patiently(
        self, key: str, commands: Sequence[Command], *, answer_s: float
    ) -> list[Any]:
        """Do the same with writes that wait for replicas, on a connection of their own."""
        return await self._follow(
            key, commands, lambda server, some: server.lines.ask_each(some, answer_s=answer_s)
        )

    async def read_patiently(self, key: str, command: Command, *, answer_s: float) -> list[Any]:
        """Do the same with a read that waits for something to read; writes wait for none."""
        return await self._follow(
            key, (command,), lambda server, some: server.reads.ask_each(some, answer_s=answer_s)
        )

    async def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """Do what redis-py makes of a call; all that have a key name it first."""

        async def once(server: Any, _: Sequence[Command]) -> list[Any]:  # noqa: ANN401 - a server's client
            try:
                return [await server.execute_command(*args, **options)]
            except MovedError as moved:
                return [moved]

        (reply,) = await self._follow(args[1], [args], once)
        if isinstance(reply, Exception):
            raise reply
        return reply

    # -- who is where ----------------------------------------------------------------------------

    async def at(self, key: str) -> Any:  # noqa: ANN401 - a server's client
        """Return the client of the primary that has this key now."""
        return self._server(await self._owner(slot_of(key)))

    async def by_server(self, keys: Sequence[str]) -> list[list[str]]:
        """Return the keys in groups, each of one primary as of now."""
        groups: dict[str, list[str]] = {}
        for key in keys:
            groups.setdefault(await self._owner(slot_of(key)), []).append(key)
        return list(groups.values())

    def together(self, keys: Sequence[str]) -> list[list[str]]:
        """Return the keys in groups, each of which one command may name for ever."""
        groups: dict[int, list[str]] = {}
        for key in keys:
            groups.setdefault(slot_of(key), []).append(key)
        return list(groups.values())

    async def servers(self) -> list[Any]:
        """Return the clients of all primaries that have slots."""
        await self._owner(0)
        return [self._server(address) for address in sorted({*self._owners} - {""})]

    async def nodes(self) -> list[Any]:
        """Return the clients of all nodes, replicas too: what is not replicated goes to each."""
        await self._owner(0)
        return [self._server(address) for address in self._nodes]

    async def aclose(self) -> None:
        """Close all connections."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        for server in self._servers.values():
            await server.aclose()

    # -- details -----------------------------------------------------------------------------------

    async def _follow(self, key: str | bytes, commands: Sequence[Command], ask: Ask) -> list[Any]:
        slot = slot_of(key)
        replies: list[Any] = []
        for last in reversed(range(MOVES_MAX)):
            address = await self._owner(slot)
            try:
                found = await ask(self._server(address), commands[len(replies) :])
            except (RedisConnectionError, RedisTimeoutError, OSError):
                self._look_soon()
                raise
            moved = next((at for at, one in enumerate(found) if isinstance(one, MovedError)), None)
            if moved is None or not last:
                if any(isinstance(one, ClusterDownError) for one in found):
                    self._look_soon()
                return replies + found
            replies += found[:moved]
            told: MovedError = found[moved]
            self._owners[slot] = f"{told.host or address.rpartition(':')[0]}:{told.port}"
            self._look_soon()
        raise AssertionError("the last one returns")

    async def _owner(self, slot: int) -> str:
        if not self._owners:
            self._look_soon()
            if self._looking is not None:
                await asyncio.shield(self._looking)
        address = self._owners[slot] if self._owners else ""
        if not address:
            self._look_soon()
            raise NotSent(self._problem or f"no server of the cluster has slot {slot}")
        return address

    def _server(self, address: str) -> Any:  # noqa: ANN401 - a server's client
        if address not in self._servers:
            self._servers[address] = self._open_server(address)
        return self._servers[address]

    def _look_soon(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Ask one node after the other who has which slot; who gave no answer is asked last."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(self._not_before - loop.time(), 0))
        self._not_before = loop.time() + LOOK_EACH_S
        silent: list[str] = []
        for node in list(self._nodes):
            try:
                async with asyncio.timeout(LOOK_S_MAX):
                    ranges = await self._server(node).line.ask("CLUSTER", "SLOTS")
            except (RedisError, OSError, TimeoutError) as problem:
                self._problem = _said(node, problem)
                silent.append(node)
                continue
            nodes, self._owners = _read(ranges, asked=node)
            self._problem = ""
            awake = list((nodes | self._first) - set(silent))
            random.shuffle(awake)  # so that one that knows less than the others is not asked alone
            self._nodes = awake + silent
            return


def _said(node: str, problem: Exception) -> str:
    if "cluster support disabled" in str(problem):
        return f"{node} is no cluster: give its URL without +cluster"
    return str(problem) or f"{node} gave no answer"


def _read(ranges: Sequence[Sequence[Any]], *, asked: str) -> tuple[set[str], list[str]]:
    """Return all nodes, and the primary of each slot, or nothing, as CLUSTER SLOTS tells them.

    A node that does not know its own name has that by which it was asked.
    """
    owners = [""] * REDIS_CLUSTER_HASH_SLOTS
    nodes: set[str] = set()
    for first, last, *places in ranges:
        named = [
            f"{(host or b'').decode() or asked.rpartition(':')[0]}:{port}"
            for host, port, *_ in places
        ]
        nodes.update(named)
        owners[first : last + 1] = [named[0]] * (last + 1 - first)
    return nodes, owners
