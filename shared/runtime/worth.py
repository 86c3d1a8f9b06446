"""What a server is worth: does it take writes, are they on disk, and how much room is left."""

import asyncio
import os
from pathlib import Path

import msgspec
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from shared.contracts.streams import PartitionKeys
from shared.runtime.connections import COMMAND_TIMEOUT_S
from shared.runtime.redis import Client
from shared.runtime.resp import Command

TRIAL_MS = (5, 50)
TRIALS_KEY = PartitionKeys(0).trials
_REFUSALS = {
    "OOM": "its memory is full: raise its maxmemory",
    "READONLY": "it is a replica: name the primary, or promote it",
    "MISCONF": "it cannot write to its disk: free or mend that",
    "NOREPLICAS": "its replicas are away: start them",
}
"""What a server that answers and takes no write says first, and what to do about it."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What a server has taken, and may take, in bytes; the disk's are None where it is not ours."""

    memory_used: int
    memory_max: int
    disk_free: int | None = None
    disk_size: int | None = None


async def refuses_writes(client: Client, *, key: str = TRIALS_KEY) -> str | None:
    """Say why the key's server takes no write, and what to do; None where it takes them.

    Asks with a write that changes nothing: it is looked at as any other, and is on no disk.
    """
    try:
        await client.setrange(key, 0, "")
    except (OutOfMemoryError, ReadOnlyError) as problem:
        code = "OOM" if isinstance(problem, OutOfMemoryError) else "READONLY"
    except ResponseError as problem:
        code = str(problem).partition(" ")[0]
    else:
        return None
    return _REFUSALS.get(code)


async def durability(client: Client, *, replicas: int = 0, key: str = TRIALS_KEY) -> str:
    """Say by a trial what an answered write is worth: `fsync`, `replicated` or `at risk`.

    A service may not read the server's settings, which hold passwords. Of a server that syncs once
    a second a trial may be on disk at once; one of the next is not. One from before WAITAOF (Redis
    7.0) is asked for its settings all the same.
    """
    first_ms, then_ms = TRIAL_MS
    trial: list[Command] = [("INCR", key), ("WAITAOF", 1, replicas, first_ms)]
    if replicas:
        trial += [("WAITAOF", 1, replicas, then_ms)]
    else:
        trial += [("INCR", key), ("WAITAOF", 1, 0, first_ms)]
    written, *_, kept = await client.ask_patiently(key, trial, answer_s=COMMAND_TIMEOUT_S)
    if isinstance(kept, ResponseError) and "unknown command" in str(kept):
        return await durability_set(await client.at(key))
    failed = isinstance(written, Exception) or isinstance(kept, Exception)
    if failed or kept[0] < 1 or kept[1] < replicas:
        return "at risk"
    return "replicated" if replicas else "fsync"


async def durability_set(client: Client) -> str:
    """Return `fsync` or `at risk`, by the server's settings, or `unknown` where they are secret."""
    try:
        found = await client.config_get("append*")
    except ResponseError:
        return "unknown"
    safe = found.get("appendonly") == "yes" and found.get("appendfsync") == "always"
    return "fsync" if safe else "at risk"


async def room(client: Client) -> Room:
    """Return how much room the server has; that of its disk where it is on this machine.

    Raises:
        RedisError: it does not answer.
    """
    memory = await client.info("memory")
    used, at_most = memory["used_memory"], memory.get("maxmemory", 0)
    at_most = at_most or memory.get("total_system_memory", 0)
    folder = await _folder_here(client)
    if folder is None:
        return Room(memory_used=used, memory_max=at_most)
    disk = await asyncio.to_thread(os.statvfs, folder)
    return Room(
        memory_used=used,
        memory_max=at_most,
        disk_free=disk.f_bavail * disk.f_frsize,
        disk_size=disk.f_blocks * disk.f_frsize,
    )


async def _folder_here(client: Client) -> Path | None:
    """Return where it keeps its data, if that is a folder of this machine."""
    if client.connection_pool.connection_kwargs.get("host") not in (
        "127.0.0.1",
        "::1",
        "localhost",
    ):
        return None
    beside = Path((await client.info("server")).get("config_file") or "/")
    if await asyncio.to_thread(_has, beside.parent / "appendonlydir"):
        return beside.parent
    try:
        told = await client.config_get("dir", "appenddirname")
    except ResponseError:  # its settings are secret
        return None
    folder = Path(told["dir"])
    there = await asyncio.to_thread(_has, folder / told.get("appenddirname", ""))
    return folder if there else None


def _has(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # a parent that others may not look into
        return False
