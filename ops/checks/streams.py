"""Is what carries the money durable, complete, and moving."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

from redis.exceptions import MovedError, RedisError, ResponseError

from ops.checks.finding import Finding
from ops.connections import setting
from ops.servers.valkey import PACKING
from shared.bus import functions
from shared.bus.topups import Topups
from shared.contracts.errors import TopupError
from shared.contracts.states import Reason
from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client, connect
from shared.runtime.worth import durability, durability_set, refuses_writes

_EVICTION: Final = "noeviction"
_RECONCILE: Final = "run `topup reconcile streams`; docs/operations.md, When Valkey is lost"
_START: Final = (
    "start it with its data, or correct REDIS_URL; where the data are gone: "
    "docs/operations.md, When Valkey is lost"
)


async def check_streams(environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Look at REDIS_URL, and at LIMITER_REDIS_URL where it is another."""
    url = setting("REDIS_URL", environ)
    if url is None:
        return
    replicas = setting("REDIS_REPLICAS", environ)
    partitions = setting("STREAM_PARTITIONS", environ) or "1"
    client = connect(url)
    try:
        written = await client.hget(PartitionKeys(0).meta, "partitions")
        count = int(written or (partitions if partitions.isdigit() else 1))
        trials = [PartitionKeys(partition).trials for partition in range(count)]
        for keys in await client.by_server(trials):
            async for finding in _server(await client.at(keys[0]), keys[0], replicas):
                yield finding
        yield _partitions(written and int(written), partitions)
        async for finding in _lanes(client, count):
            yield finding
    except (RedisError, OSError) as problem:
        yield Finding("redis", f"cannot be used: {problem}", _instead(problem))
    finally:
        await client.aclose()
    async for finding in _limits(setting("LIMITER_REDIS_URL", environ), url):
        yield finding


async def _server(client: Client, key: str, replicas: str | None) -> AsyncIterator[Finding]:
    """Look at the server that has this key; of a cluster at each in turn, by its address."""
    of = await _address(client)
    yield await _writable(client, key, of)
    yield await _durable(client, key, replicas, of)
    yield await _evicts_nothing(client, of)
    yield await _packs(client, of)
    yield await _functions(client, of)


async def _address(client: Client) -> str:
    """Return what to add to a finding's subject: which node of a cluster it is about."""
    if not (await client.info("cluster")).get("cluster_enabled"):
        return ""
    pool = client.connection_pool.connection_kwargs
    return f" of {pool['host']}:{pool['port']}"


def _instead(problem: Exception) -> str:
    if isinstance(problem, MovedError):
        return "it is one of a cluster: set REDIS_URL=redis+cluster://host:port,host:port"
    return _START


async def _writable(client: Client, key: str, of: str) -> Finding:
    problem = await refuses_writes(client, key=key)
    if problem is None:
        return Finding(f"writes{of}", "taken")
    found, _, remedy = problem.partition(": ")
    return Finding(f"writes{of}", f"refused: {found}; nothing is accepted", remedy)


async def _durable(client: Client, key: str, told: str | None, of: str) -> Finding:
    attached = (await client.info("replication")).get("connected_slaves", 0)
    if told is None and attached:
        return Finding(
            f"durability{of}",
            f"{attached} replicas, and nobody waits for them: one that is promoted may lack topups",
            f"set REDIS_REPLICAS={attached}, or REDIS_REPLICAS=0 where none can be promoted",
        )
    replicas = int(told) if told and told.isdigit() else 0  # else its own check tells
    found = (
        await durability(client, replicas=replicas, key=key)
        if replicas
        else await durability_set(client)
    )
    if found in ("fsync", "replicated"):
        where = f"disk, here and on {replicas} replicas" if replicas else "disk"
        return Finding(f"durability{of}", f"every answered write is on {where}")
    if replicas:
        return Finding(
            f"durability{of}",
            f"{found}: fewer than {replicas} replicas have on disk what is written ({attached} "
            "attached); nothing is accepted or paid until they do",
            "start the replicas, with `appendonly yes`, or correct REDIS_REPLICAS",
        )
    return Finding(
        f"durability{of}",
        f"{found}: a crash of the server may lose accepted topups",
        "run the server with `appendonly yes` and `appendfsync always`",
    )


async def _evicts_nothing(client: Client, of: str) -> Finding:
    try:
        policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy", "unknown")
    except ResponseError:
        policy = "unknown"
    if policy == _EVICTION:
        return Finding(f"eviction{of}", "none")
    return Finding(
        f"eviction{of}",
        f"maxmemory-policy is {policy}: records may be dropped, and keys forgotten",
        f"set `maxmemory-policy {_EVICTION}`",
    )


async def _packs(client: Client, of: str) -> Finding:
    """Small hashes and streams are packed by the server, if it is told how small is small."""
    loose = []
    for name, wanted in PACKING.items():
        try:
            found = (await client.config_get(name)).get(name, wanted)
        except ResponseError:
            found = wanted
        if int(found) < wanted:
            loose.append(f"{name} {wanted}")
    if not loose:
        return Finding(f"packing{of}", "a settled topup takes less than a kilobyte")
    return Finding(
        f"packing{of}",
        "a settled topup takes more memory than it need",
        f"set {' and '.join(f'`{setting}`' for setting in loose)}",
    )


async def _functions(client: Client, of: str) -> Finding:
    found = await client.execute_command("FUNCTION", "LIST", "LIBRARYNAME", functions.LIBRARY)
    if found:
        return Finding(f"functions{of}", f"{functions.LIBRARY} is loaded")
    return Finding(f"functions{of}", f"{functions.LIBRARY} is missing", "run `topup migrate`")


def _partitions(written: int | None, configured: str) -> Finding:
    if written is None:
        return Finding("partitions", f"{configured}, to be written down at the first start")
    if str(written) == configured:
        return Finding("partitions", configured)
    return Finding(
        "partitions",
        f"the streams were made with {written}, STREAM_PARTITIONS is {configured}",
        f"set STREAM_PARTITIONS={written}",
    )


async def _lanes(client: Client, partitions: int) -> AsyncIterator[Finding]:
    topups = Topups(client, partitions=partitions, window_ms=0)
    yield await _verified(topups)
    open_everywhere = True
    for partition in range(partitions):
        for provider, lane in (await topups.lanes(partition)).items():
            if lane.state != "open":
                open_everywhere = False
                lost = lane.reason == Reason.STREAMS_LOST
                yield Finding(
                    f"lane {provider}",
                    f"{lane.state} by {lane.by}: {lane.reason}",
                    _RECONCILE
                    if lost
                    else f"mend the reason; what waits there is safe (partition {partition})",
                )
    if open_everywhere:
        yield Finding("lanes", "all open")


async def _verified(topups: Topups) -> Finding:
    """Say whether a ledger vouches for the streams; without that nothing is accepted or starts."""
    for partition in range(len(topups.keys)):
        try:
            if await topups.verified(partition):
                continue
            lanes = (await topups.lanes(partition)).values()
        except TopupError as problem:
            return Finding("streams", str(problem), "see what the server says")
        if any(lane.reason == Reason.STREAMS_LOST for lane in lanes):
            return Finding("streams", "they lack what is in the books", _RECONCILE)
        return Finding(
            "streams",
            "not compared with the books yet: nothing is accepted",
            "see that a ledger runs and its database answers: topup ps",
        )
    return Finding("streams", "they have all that is in the books")


async def _limits(url: str | None, streams: str) -> AsyncIterator[Finding]:
    if url is None or url == streams:
        return
    client = connect(url)
    try:
        await client.ping()
        yield Finding("limits", "their server answers")
    except (RedisError, OSError) as problem:
        yield Finding(
            "limits", f"cannot be used: {problem}", "start it, or correct LIMITER_REDIS_URL"
        )
    finally:
        await client.aclose()
