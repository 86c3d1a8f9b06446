"""A client of a cluster finds who has a key, follows it where it goes, and sends nothing twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
from redis.exceptions import MovedError, RedisError, TryAgainError

from ops.embedded import Running
from ops.valkey_cluster import ValkeyCluster
from shared.bus.topups import Topups
from shared.contracts.errors import NotAccepted
from shared.runtime import cluster as module
from shared.runtime.cluster import slot_of
from shared.runtime.redis import Client, connect
from shared.runtime.resp import NotSent

pytestmark = pytest.mark.integration

KEYS = [f"test:{{{number}}}" for number in range(12)]
WITHIN_S = 10.0


@pytest.fixture
async def client(two: ValkeyCluster) -> AsyncIterator[Client]:
    """A client of both, which have no keys."""
    for node in two.primaries():
        node.ask("FLUSHALL")
    client = connect(two.url)
    yield client
    await client.aclose()


async def test_each_command_goes_to_who_has_its_key(two: ValkeyCluster, client: Client) -> None:
    """By each of the ways; and what is of one server is known as such."""
    for key in KEYS:
        assert await client.ask(key, "SET", key, "1") == b"OK"
        assert await client.ask_each(key, [("INCR", key), ("GET", key)]) == [2, b"2"]
        assert await client.ask_patiently(key, [("INCR", key)], answer_s=WITHIN_S) == [3]
        assert await client.get(key) == b"3"
        assert two.primary_of(slot_of(key)).ask("GET", key) == "3"
    groups = await client.by_server(KEYS)
    assert [two.primary_of(slot_of(group[0])) for group in groups] == two.primaries()[
        :: _order(two)
    ]
    assert sorted(key for group in groups for key in group) == sorted(KEYS)
    assert len(client.together(KEYS)) == len(KEYS)
    assert len(await client.nodes()) == len(await client.servers()) == 2
    assert len(client.together([f"{KEYS[0]}:a", f"{KEYS[0]}:b"])) == 1


def _order(two: ValkeyCluster) -> int:
    return 1 if two.primary_of(slot_of(KEYS[0])) is two.primaries()[0] else -1


async def test_what_has_moved_is_followed_at_once(two: ValkeyCluster, client: Client) -> None:
    """In the middle of what was sent together too: what was done is not done again."""
    key = KEYS[0]
    home, slot = two.primary_of(slot_of(key)), slot_of(key)
    (away,) = [node for node in two.primaries() if node is not home]
    ways = [
        lambda: client.ask(key, "INCR", key),
        lambda: client.incr(key),
        lambda: _one(client.ask_each(key, [("INCR", key)])),
        lambda: _one(client.ask_patiently(key, [("INCR", key)], answer_s=WITHIN_S)),
    ]
    for count, way in enumerate(ways):
        await client.ask(key, "SET", key, count)
        await asyncio.to_thread(two.move, slot, slot, to=(away, home)[count % 2])
        assert await way() == count + 1  # type: ignore[no-untyped-call]


async def _one(replies: Awaitable[list[object]]) -> object:
    (reply,) = await replies
    return reply


async def test_of_many_only_those_that_were_not_done_follow(
    two: ValkeyCluster, client: Client
) -> None:
    """Whatever names no key was done where it was asked, and is asked again behind the rest."""
    key = KEYS[1]
    home, slot = two.primary_of(slot_of(key)), slot_of(key)
    (away,) = [node for node in two.primaries() if node is not home]
    await client.ask(key, "SET", key, 0)
    await asyncio.to_thread(two.move, slot, slot, to=away)
    replies = await client.ask_each(key, [("PING",), ("INCR", key), ("INCR", key), ("PING",)])
    assert replies == [b"PONG", 1, 2, b"PONG"]
    await asyncio.to_thread(two.move, slot, slot, to=home)


async def test_while_a_slot_moves_key_by_key_a_step_is_refused_and_nothing_done(
    two: ValkeyCluster, client: Client
) -> None:
    """TRYAGAIN or ASK: no part of it happens on either side; afterwards it goes as ever."""
    topups = Topups(client, partitions=4, window_ms=60_000)
    await topups.prepare("LATCOM")
    slot = slot_of(topups.keys[3].meta)
    home = two.primary_of(slot)
    (away,) = [node for node in two.primaries() if node is not home]
    away.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", home.name)
    home.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", away.name)
    port, password = away.place.partition(":")[2], two.url.partition(":")[2][3:].partition("@")[0]
    moved = topups.keys[3].outcomes
    home.ask("MIGRATE", "127.0.0.1", port, moved, 0, 5_000, "AUTH", password)
    with pytest.raises(NotAccepted):
        await topups.make_streams(3, "LATCOM")
    with pytest.raises((TryAgainError, RedisError)):
        await client.ask(moved, "XLEN", moved)
    for key in home.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
        home.ask("MIGRATE", "127.0.0.1", port, key, 0, 5_000, "AUTH", password)
    for node in (away, home):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", away.name)
    await topups.make_streams(3, "LATCOM")
    assert {group["name"] for group in await client.xinfo_groups(moved)} == {b"ledger"}
    await asyncio.to_thread(two.move, slot, slot, to=home)


async def test_a_key_that_two_send_to_each_other_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends, and says MOVED: nothing was done."""
    asked = 0

    class Sender:
        """Stands for a server in the middle of a dispute: that does not last long enough here."""

        def __init__(self) -> None:
            self.line = self

        async def ask_each(self, commands: object) -> list[object]:
            nonlocal asked
            asked += 1
            return [MovedError(f"{slot_of(KEYS[2])} 127.0.0.1:1")]

        async def aclose(self) -> None:
            """Hold nothing."""

    await client.ask(KEYS[2], "PING")
    monkeypatch.setattr(client, "_open_server", lambda _address: Sender())
    client._owners[slot_of(KEYS[2])] = "127.0.0.1:1"
    with pytest.raises(MovedError):
        await client.ask(KEYS[2], "GET", KEYS[2])
    assert asked == module.MOVES_MAX


async def test_what_is_no_cluster_is_named(tmp_path: Path) -> None:
    """And a cluster of which nobody answers: nothing was sent in either case."""
    running = await asyncio.to_thread(Running.valkey, tmp_path / "one")
    client = connect(running.url.replace("redis://", "redis+cluster://").removesuffix("/0"))
    try:
        with pytest.raises(NotSent, match=r"is no cluster: give its URL without \+cluster"):
            await client.ask(KEYS[0], "SET", KEYS[0], "1")
    finally:
        await asyncio.to_thread(running.stop)
    with pytest.raises(NotSent, match="Error connecting"):
        await client.ask(KEYS[0], "SET", KEYS[0], "1")
    await client.aclose()
