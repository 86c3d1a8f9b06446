"""A Valkey Cluster on this machine: primaries, and replicas for each of them.

    cluster = ValkeyCluster(folder)                       # 3 and 3, the slots spread evenly
    cluster.url                                           # redis+cluster://…
    cluster.move(0, 99, to=cluster.nodes[2])              # at once, as Valkey 9 can
    cluster.stop()

A second one on the same folder finds the ports and the data of the first. The kernel ends its nodes
with the thread that started them.
"""

import os
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import RedisError

from ops.embedded import Running
from ops.ports import free_port
from ops.servers import valkey
from ops.servers.server import Server

NODE_TIMEOUT_MS: Final = 5_000
"""After so long without a word a node is taken for dead; a second later its replica is primary."""
READY_S_MAX: Final = 60.0


class _Places(msgspec.Struct, frozen=True):
    """What must outlive a restart: the nodes know each other by it."""

    password: str
    ports: list[tuple[int, int]]


class Node(Running):
    """One node of a cluster."""

    def __init__(self, server: Server, password: str) -> None:
        super().__init__(server)
        self._port, self._password = server.port, password

    def open(self) -> Redis:
        """Return a client of this node alone."""
        return Redis(
            host="127.0.0.1",
            port=self._port,
            password=self._password,
            decode_responses=True,
            socket_timeout=5,
        )

    def ask(self, *command: object) -> Any:  # noqa: ANN401 - any reply
        """Return the reply to one command."""
        with self.open() as client:
            return client.execute_command(*command)

    @property
    def place(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self._port}"

    @property
    def name(self) -> str:
        """What the cluster calls it."""
        name: str = self.ask("CLUSTER", "MYID")
        return name


class ValkeyCluster:
    """A cluster that is up, every slot served and every replica caught up."""

    def __init__(self, folder: Path, *, primaries: int = 3, replicas: int = 1) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        count = primaries * (1 + replicas)
        places = _places(folder, count)
        self.nodes = [self._start(number, places) for number in range(count)]
        hosts = ",".join(node.place for node in self.nodes)
        self.password = places.password
        self.url = f"redis+cluster://:{places.password}@{hosts}"
        self._replicas = replicas
        if not self._is_made():
            self._make(places, primaries)
        self.wait_until_whole()

    def stop(self) -> None:
        """Stop all nodes in their own polite way."""
        for node in self.nodes:
            node.stop()

    def revive(self) -> None:
        """Start those nodes again that have died."""
        for node in self.nodes:
            if not node.lives():
                node.revive()

    def primary_of(self, slot: int) -> Node:
        """Return the node that serves a slot now."""
        for first, last, (_, port, *_), *_ in self._slots():
            if first <= slot <= last:
                return self._at(port)
        raise LookupError(f"nobody serves slot {slot}")

    def range_of(self, slot: int) -> tuple[int, int]:
        """Return the first and the last of the slots around this one that are of one primary."""
        for first, last, *_ in self._slots():
            if first <= slot <= last:
                return first, last
        raise LookupError(f"nobody serves slot {slot}")

    def primaries(self) -> list[Node]:
        """Return the nodes that serve slots now."""
        return list(dict.fromkeys(self._at(port) for _, _, (_, port, *_), *_ in self._slots()))

    def replicas_of(self, primary: Node) -> list[Node]:
        """Return the nodes that follow a primary now."""
        places = [
            f"127.0.0.1:{replica[1]}"
            for _, _, (_, port, *_), *replicas in self._slots()
            for replica in replicas
            if self._at(port) is primary
        ]
        return [node for node in self.nodes if node.place in places]

    def wait_until_promoted(self, gone: Node) -> None:
        """Return when nobody takes this node for a primary any more."""
        self._until(lambda: gone not in self.primaries(), "promoted")

    def wait_until_whole(self) -> None:
        """Return when every slot is served and every primary has its replicas on disk."""
        self._until(self._is_whole, "whole")

    def move(self, first: int, last: int, *, to: Node) -> None:
        """Move slots to another primary, all at once, and wait until they are there."""
        source = self.primary_of(first)
        if source is to:
            return
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", first, last, "NODE", to.name)

        def there() -> bool:
            return self.primary_of(first) is to and self.primary_of(last) is to

        self._until(there, "moved")

    # -- details -----------------------------------------------------------------------------------

    def _start(self, number: int, places: _Places) -> Node:
        port, bus = places.ports[number]
        server = valkey.prepare(
            self._folder / f"node-{number}",
            name=f"valkey-{number}",
            port=port,
            password=places.password,
            keeps=valkey.member(bus=bus, password=places.password, timeout_ms=NODE_TIMEOUT_MS),
            parent_gone=signal.SIGKILL,
        )
        return Node(server, places.password)

    def _is_made(self) -> bool:
        return int(_info(self.nodes[0])["cluster_known_nodes"]) == len(self.nodes)

    def _make(self, places: _Places, primaries: int) -> None:
        """Let the nodes meet, give the first ones the slots, and each of the others a primary."""
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port, bus in places.ports[1:]:
            self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", port, bus)
        edges = [REDIS_CLUSTER_HASH_SLOTS * n // primaries for n in range(primaries + 1)]
        for node, first, end in zip(self.nodes, edges, edges[1:], strict=False):
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        self._until(
            lambda: all(
                int(_info(node)["cluster_known_nodes"]) == len(self.nodes) for node in self.nodes
            ),
            "met",
        )
        for number, node in enumerate(self.nodes[primaries:]):
            primary = self.nodes[number % primaries].name
            self._until(partial(_follows, node, primary), "followed")

    def _is_whole(self) -> bool:
        alive = [node for node in self.nodes if node.lives()]
        for info in map(_info, alive):
            served = int(info["cluster_slots_ok"]) == REDIS_CLUSTER_HASH_SLOTS
            if not served or info["cluster_state"] != "ok":
                return False
        if any(len(replicas) < self._replicas for _, _, _, *replicas in self._slots()):
            return False
        return all(self._has_replicas(node) for node in self.primaries())

    def _has_replicas(self, node: Node) -> bool:
        with node.open() as client:
            info: Any = client.info("replication")
        attached = [info[f"slave{number}"] for number in range(info["connected_slaves"])]
        online = [one for one in attached if one["state"] == "online"]
        return len(online) >= self._replicas

    def _slots(self) -> Sequence[Any]:
        for node in self.nodes:
            if node.lives():
                try:
                    return node.ask("CLUSTER", "SLOTS")  # type: ignore[no-any-return]
                except (RedisError, OSError):
                    continue
        return ()

    def _at(self, port: int) -> Node:
        return next(node for node in self.nodes if node.place == f"127.0.0.1:{port}")

    @staticmethod
    def _until(look: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while True:
            try:
                if look():
                    return
            except (RedisError, OSError):
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"the cluster is not {what} after {READY_S_MAX:.0f} s")
            time.sleep(0.05)


def _info(node: Node) -> dict[str, str]:
    text: str = node.ask("CLUSTER", "INFO")
    return dict(line.split(":", 1) for line in text.split())


def _follows(node: Node, primary: str) -> bool:
    node.ask("CLUSTER", "REPLICATE", primary)
    return True


def _places(folder: Path, count: int) -> _Places:
    file = folder / "places.json"
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=_Places)
    ports = [(free_port(), free_port()) for _ in range(count)]
    places = _Places(secrets.token_urlsafe(16), ports)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(msgspec.json.encode(places))
    return places
