"""How each fault is made, and unmade: one small function a kind, by its name in the schedule."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from redis import Redis
from redis.exceptions import RedisError

from ops.errors import CommandFailed
from ops.valkey_cluster import ValkeyCluster
from shared.contracts.streams import PartitionKeys
from shared.runtime.cluster import slot_of
from tests.chaos.house import END_S_MAX, PARTITIONS, House, until
from tests.chaos.links import Weather
from tests.chaos.schedule import KINDS, NETWORK, ON_A_CLUSTER, SERVERS, Fault
from tests.chaos.sources import Client

BACK_S_MAX: Final = 60.0
SCALES: Final = {"gateway": 4, "ratelimiter": 2, "dispatcher": 5, "ledger": 2}
CLOCKS_MS: Final = (-3_600_000, -5_000, -700, 700, 5_000, 3_600_000)
CONNECTIONS_MAX: Final = 400
LITTLE: Final = "1mb"
BUSY_SCRIPT: Final = "while true do end"
SLOTS_MOVED: Final = 300
ANY_LOCK: Final = ("topups", "outcomes", "totals")

Make = Callable[[House, Fault], Awaitable[None]]


class Missed(Exception):
    """Nobody was there to be hit."""


async def happen(house: House, fault: Fault) -> bool:
    """Make the fault, let it last, and unmake it; return whether there was anybody to hit.

    When it returns, nothing of it is left to undo.
    """
    try:
        await MAKERS[fault.kind](house, fault)
    except Missed:
        return False
    return True


# -- processes ---------------------------------------------------------------------------------


async def kill(house: House, fault: Fault) -> None:
    """SIGKILL one replica, whom the supervisor starts again, or one server, whom we do."""
    if fault.target in SERVERS:
        await house.in_thread(house.servers[fault.target].kill)
        await _revive(house, fault.target)
        return
    pid = await _one_of(house, fault)
    _signal(pid, signal.SIGKILL)

    async def is_gone() -> bool:
        return not _lives(pid)

    await until(is_gone, within_s=BACK_S_MAX)  # so that the next kill hits another life


async def stop(house: House, fault: Fault) -> None:
    """SIGSTOP and SIGCONT: to everyone else it is silent, to itself no time has passed."""
    pids = await _pids(house, fault)
    try:
        for pid in pids:
            with contextlib.suppress(Missed):
                _signal(pid, signal.SIGSTOP)
        await asyncio.sleep(fault.for_s)
    finally:
        for pid in pids:
            with contextlib.suppress(Missed):
                _signal(pid, signal.SIGCONT)


async def term(house: House, fault: Fault) -> None:
    """SIGTERM one replica: it drains, and is started again."""
    _signal(await _one_of(house, fault), signal.SIGTERM)


async def kill_supervisor(house: House, _fault: Fault) -> None:
    """SIGKILL the supervisor, and start another that takes over."""
    house.supervisor().kill()
    await asyncio.to_thread(house.supervisor().wait)
    await house.start_supervisor()


async def restart(house: House, _fault: Fault) -> None:
    """Stop everything in order, and start it again."""
    house.supervisor().terminate()
    await asyncio.to_thread(house.supervisor().wait, END_S_MAX)
    await house.start_supervisor()


async def scale(house: House, fault: Fault) -> None:
    """Change the number of replicas, and change it back later."""
    with contextlib.suppress(CommandFailed, OSError):
        now = len(await house.replicas(fault.target))
        await house.scale(fault.target, 1 + fault.pick % SCALES[fault.target])
        await asyncio.sleep(fault.for_s)
        await house.scale(fault.target, max(now, 1))


async def clock(house: House, fault: Fault) -> None:
    """Let one replica's wall clock jump, and back."""
    rows = await house.replicas(fault.target)
    if not rows:
        return
    file = house.orders / f"{rows[fault.pick % len(rows)].id}.clock"
    file.write_text(str(CLOCKS_MS[fault.pick % len(CLOCKS_MS)]))
    await asyncio.sleep(fault.for_s)
    file.unlink(missing_ok=True)


# -- the network -------------------------------------------------------------------------------


async def weather(house: House, fault: Fault) -> None:
    """Let a link suffer, for all of its connections or for every second one."""
    link = house.links[fault.target]
    link.suffer(Weather(fault.kind), one_in=1 + fault.pick % 2)
    await asyncio.sleep(fault.for_s)
    link.heal()


async def isolate(house: House, fault: Fault) -> None:
    """Let every second replica of a service lose its server; the others find it as ever."""
    link = house.links[fault.target]
    weathers = (Weather.CUT, Weather.STALL, Weather.HALF_OPEN)
    link.suffer(weathers[fault.pick % len(weathers)], side=fault.pick % link.sides)
    await asyncio.sleep(fault.for_s)
    link.heal()


# -- servers -----------------------------------------------------------------------------------


async def full_disk(house: House, fault: Fault) -> None:
    """Let no file of the server grow; whom that ends is started again, on what it had."""
    for pid in await _pids(house, fault):
        await asyncio.to_thread(limit_files, pid, 0)
    await asyncio.sleep(fault.for_s)
    for pid in await _pids(house, fault):
        await asyncio.to_thread(limit_files, pid, resource.RLIM_INFINITY)
    await _revive(house, fault.target)


async def out_of_memory(house: House, fault: Fault) -> None:
    """Let a Valkey refuse every write that needs memory."""
    await _with_valkey(house, fault, _limit_memory)


async def read_only(house: House, fault: Fault) -> None:
    """Make Valkey the replica of nobody: it answers, and takes no write."""
    await _with_valkey(house, fault, _follow_nobody)


async def busy(house: House, fault: Fault) -> None:
    """Keep Valkey in a script that does not end: everyone else hears BUSY."""
    await _with_valkey(house, fault, _run_for_ever)


async def no_connections(house: House, fault: Fault) -> None:
    """Take every connection that PostgreSQL has."""

    def take() -> list[psycopg.Connection[Any]]:
        taken: list[psycopg.Connection[Any]] = []
        with contextlib.suppress(psycopg.OperationalError):
            while len(taken) < CONNECTIONS_MAX:
                taken.append(psycopg.connect(house.servers["postgres"].url, connect_timeout=2))
        return taken

    taken = await asyncio.to_thread(take)
    await asyncio.sleep(fault.for_s)
    for connection in taken:
        await asyncio.to_thread(connection.close)


async def locked(house: House, fault: Fault) -> None:
    """Hold a lock that stands in the ledger's way."""
    table = sql.Identifier(ANY_LOCK[fault.pick % len(ANY_LOCK)])
    with contextlib.suppress(psycopg.Error):
        async with await psycopg.AsyncConnection.connect(
            house.servers["postgres"].url, connect_timeout=2
        ) as connection:
            await connection.execute("SET lock_timeout = '3s'")
            await connection.execute(
                sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table)
            )
            await asyncio.sleep(fault.for_s)


async def in_recovery(house: House, fault: Fault) -> None:
    """Kill a backend: PostgreSQL ends all others and recovers, refusing everyone meanwhile."""
    children = children_of(house.servers["postgres"].pid)
    if not children:
        raise Missed
    _signal(children[fault.pick % len(children)], signal.SIGKILL)


# -- nodes of a cluster ------------------------------------------------------------------------


async def failover(house: House, fault: Fault) -> None:
    """Kill a primary and keep it away until another is in its place; then it is a replica."""

    def lose() -> None:
        cluster = _cluster(house)
        primaries = cluster.primaries()
        lost = primaries[fault.pick % len(primaries)]
        lost.kill()
        cluster.wait_until_promoted(lost)
        lost.revive()
        cluster.wait_until_whole()

    await house.in_thread(lose)


async def kill_node(house: House, fault: Fault) -> None:
    """Kill a node, primary or replica, and start it again at once."""

    def kill_one() -> None:
        cluster = _cluster(house)
        node = cluster.nodes[fault.pick % len(cluster.nodes)]
        node.kill()
        node.revive()
        cluster.wait_until_whole()

    await house.in_thread(kill_one)


async def stop_node(house: House, fault: Fault) -> None:
    """SIGSTOP and SIGCONT a node: a primary that is replaced meanwhile believes it is one still."""
    cluster = _cluster(house)
    pid = cluster.nodes[fault.pick % len(cluster.nodes)].pid
    _signal(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(fault.for_s)
    finally:
        _signal(pid, signal.SIGCONT)
    await house.in_thread(cluster.wait_until_whole)


async def move_slots(house: House, fault: Fault) -> None:
    """Move a range of slots, one of a partition among them, to another primary."""

    def move() -> None:
        cluster = _cluster(house)
        slot = slot_of(PartitionKeys(fault.pick % PARTITIONS).meta)
        first, last = cluster.range_of(slot)
        others = [node for node in cluster.primaries() if node is not cluster.primary_of(slot)]
        to = others[fault.pick // PARTITIONS % len(others)]
        cluster.move(max(first, slot - SLOTS_MOVED), min(last, slot + SLOTS_MOVED), to=to)
        cluster.wait_until_whole()

    await house.in_thread(move)


def _cluster(house: House) -> ValkeyCluster:
    assert house.cluster is not None, "its settings say so"
    return house.cluster


# -- the provider ------------------------------------------------------------------------------


async def wallet_empty(house: House, fault: Fault) -> None:
    """Fill the wallets from which phones on …907 are paid, after they stood empty for a while."""
    await asyncio.sleep(fault.for_s)
    await house.tell_providers("/wallet", {"amount": 10_000})


async def logged_out(house: House, fault: Fault) -> None:
    """Forget all logins, refuse the next orders' tokens, and fail some logins."""
    faults = {"revoke_tokens": True, "failing_logins": fault.pick % 3}
    await house.tell_providers("/faults", {**faults, "unauthorized": fault.pick % 4})


# -- details -----------------------------------------------------------------------------------


async def _one_of(house: House, fault: Fault) -> int:
    """Return the pid of a replica, as soon as there is one."""
    pids: list[int] = []

    async def are_there() -> bool:
        pids[:] = [row.pid for row in await house.replicas(fault.target) if row.pid]
        return bool(pids)

    try:
        await until(are_there, within_s=BACK_S_MAX)
    except TimeoutError:
        raise Missed from None
    return pids[fault.pick % len(pids)]


async def _pids(house: House, fault: Fault) -> list[int]:
    if fault.target in SERVERS:
        pid = house.servers[fault.target].pid
        return [pid, *children_of(pid)]
    return [await _one_of(house, fault)]


def children_of(pid: int) -> list[int]:
    """Return the processes that it has started, and that still are."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123 - a kernel file
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        raise Missed from None


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def limit_files(pid: int, size: int) -> None:
    """Bound the files that a process may write, as the user that it runs under."""

    def limit() -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    try:
        owner = os.stat(f"/proc/{pid}")  # noqa: PTH116 - a kernel file
        subprocess.run(
            ["/bin/true"], user=owner.st_uid, group=owner.st_gid, preexec_fn=limit, check=True
        )
    except (OSError, subprocess.SubprocessError):
        if _lives(pid):
            raise


async def _revive(house: House, name: str) -> None:
    server = house.servers[name]

    def bring_back() -> None:
        if not server.lives():
            server.revive()

    await house.in_thread(bring_back)


async def _with_valkey(
    house: House, fault: Fault, make: Callable[[Client, str], Callable[[], object]]
) -> None:
    url = house.servers[fault.target].url
    client: Client = Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)
    try:
        undo = await asyncio.to_thread(make, client, url)
    except (RedisError, OSError):
        return  # it is down already
    await asyncio.sleep(fault.for_s)

    async def undone() -> bool:
        try:
            await asyncio.to_thread(undo)
        except (RedisError, OSError):
            return not house.servers[fault.target].lives()
        return True

    await until(undone, within_s=BACK_S_MAX)
    client.close()


def _limit_memory(client: Client, _url: str) -> Callable[[], object]:
    before = client.config_get("maxmemory")
    client.config_set("maxmemory", LITTLE)
    return lambda: client.config_set("maxmemory", before["maxmemory"])


def _follow_nobody(client: Client, _url: str) -> Callable[[], object]:
    client.replicaof("127.0.0.1", "1")
    return lambda: client.replicaof("NO", "ONE")


def _run_for_ever(client: Client, url: str) -> Callable[[], object]:
    client.config_set("busy-reply-threshold", "100")
    runner = Redis.from_url(url, socket_timeout=1)
    with contextlib.suppress(RedisError):
        runner.eval(BUSY_SCRIPT, 0)
    runner.close()

    def end() -> None:
        with contextlib.suppress(RedisError):
            client.script_kill()
        client.ping()

    return end


MAKERS: Final[Mapping[str, Make]] = {
    **dict.fromkeys(NETWORK, weather),
    "kill": kill,
    "kill_supervisor": kill_supervisor,
    "stop": stop,
    "isolate": isolate,
    "term": term,
    "restart": restart,
    "scale": scale,
    "clock": clock,
    "full_disk": full_disk,
    "out_of_memory": out_of_memory,
    "read_only": read_only,
    "busy": busy,
    "no_connections": no_connections,
    "locked": locked,
    "in_recovery": in_recovery,
    "wallet_empty": wallet_empty,
    "logged_out": logged_out,
    "failover": failover,
    "kill_node": kill_node,
    "stop_node": stop_node,
    "move_slots": move_slots,
}
assert set(MAKERS) == {*KINDS, *ON_A_CLUSTER}, "every kind that is drawn can be made"
