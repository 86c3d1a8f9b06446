"""Dispatchers that die or stand still with sends in flight: who takes over, and what is paid."""

import asyncio
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from shared.runtime.redis import Client
from tests.system.stack import Stack, accept, check_books, until

pytestmark = pytest.mark.system

IN_FLIGHT = {"SANDBOX_LATENCY": "3000", "LATCOM_TIMEOUT": "20s"}
LEASE_MS = 2 * (3_000 + 7_000 + 20_000) + 15_000
SHORT = {"SANDBOX_LATENCY": "1500", "LATCOM_TIMEOUT": "2s", "STALL": "2s"}
SLOTS = 20
DISPATCHERS = 3


async def sell_until_all_are_busy(stack: Stack) -> list[str]:
    """Make as many topups as there are slots; return while nearly all are in flight."""
    topups = await accept(stack, DISPATCHERS * SLOTS)

    async def nearly_all_are() -> bool:
        return bool((await stack.queue())["active"] >= len(topups) - SLOTS)

    await until(nearly_all_are, each_s=0.01)
    return topups


async def stop(redis: Client, replica: dict[str, Any]) -> dict[str, int]:
    """Let a dispatcher stand still; return what it has in flight, and until when it owns that."""
    os.kill(replica["pid"], signal.SIGSTOP)
    seen: list[dict[str, int]] = [{}]

    async def is_still() -> bool:  # what it had said last may be on its way
        seen.append(await held_by(redis, replica["id"]))
        return seen[-1] == seen[-2] != {}

    await until(is_still)
    assert len(seen[-1]) <= SLOTS
    return seen[-1]


async def stop_with_all_sent(
    stack: Stack, redis: Client, replica: dict[str, Any]
) -> dict[str, int]:
    """Let it stand still at a moment when the provider was asked for all that it has in flight."""

    async def all_are_sent() -> dict[str, int] | None:
        held = await stop(redis, replica)
        if all((await asked_for(stack, held)).values()):
            return held
        os.kill(replica["pid"], signal.SIGCONT)
        return None

    held: dict[str, int] = await until(all_are_sent)
    return held


async def held_by(redis: Client, instance: str) -> dict[str, int]:
    """Return the ids of the topups that a replica sends now, and the ends of their leases."""
    held = {}
    async for key in redis.scan_iter("topup:{0}:record:*", count=1_000):
        state, owner, lease = await redis.hmget(key, "state", "owner", "lease_until")
        if state == b"active" and owner.decode().partition("#")[0] == instance:
            held[key.decode().rpartition(":")[2]] = int(lease)
    return held


async def ends_ms(redis: Client) -> dict[str, int]:
    """Return when each topup ended, by the server's clock: it is in the entry's id."""
    entries = await redis.xrange("topup:{0}:outcomes")
    return {fields[b"id"].decode(): int(entry.split(b"-")[0]) for entry, fields in entries}


async def asked_for(stack: Stack, topups: Iterable[str]) -> dict[str, int]:
    """Return how often the provider was asked to pay each of them."""
    return {topup_id: (await stack.book(topup_id))["asked"] for topup_id in topups}


async def until_the_alarm_waits(pid: int) -> None:
    """Return when the kernel has SIGALRM ready for a stopped process."""

    status = Path(f"/proc/{pid}/status")

    async def is_pending() -> bool:
        lines = (await asyncio.to_thread(status.read_text)).splitlines()
        pending = [int(line.split()[1], 16) for line in lines if line.startswith("ShdPnd")]
        return bool(pending[0] & 1 << (signal.SIGALRM - 1))

    await until(is_pending)


@pytest.mark.parametrize(
    "provider",
    [
        pytest.param("dedupes", marks=pytest.mark.settings(SANDBOX_DEDUPES="on", **IN_FLIGHT)),
        pytest.param(
            "inquiry",
            marks=[pytest.mark.long, pytest.mark.settings(SANDBOX_INQUIRY="on", **IN_FLIGHT)],
        ),
    ],
)
async def test_what_a_dead_dispatcher_had_in_flight_is_taken_over(
    stack: Stack, redis: Client, provider: str
) -> None:
    """At a provider that dedupes or can be asked: long before a lease ends, and all succeed."""
    victim = stack.ps("dispatcher")[0]
    topups = await sell_until_all_are_busy(stack)
    held = await stop_with_all_sent(stack, redis, victim)
    seconds, _ = await redis.time()
    os.kill(victim["pid"], signal.SIGKILL)
    await stack.until_settled(len(topups), within_s=60)
    assert await check_books(stack, topups) == {"succeeded": len(topups)}
    ended = await ends_ms(redis)
    assert all(0 <= ended[topup_id] - 1_000 * seconds < LEASE_MS / 2 for topup_id in held)


@pytest.mark.settings(**SHORT)
async def test_what_was_in_flight_at_latcom_is_never_sent_again(
    stack: Stack, redis: Client
) -> None:
    """One is killed; one stands still for longer than STALL and dies as it wakes.

    What they had sent is unresolved once its lease has ended, and nobody asks for it again.
    """
    killed, stopped, _ = stack.ps("dispatcher")
    topups = await sell_until_all_are_busy(stack)
    held = await stop(redis, killed) | await stop(redis, stopped)
    os.kill(killed["pid"], signal.SIGKILL)
    await until_the_alarm_waits(stopped["pid"])
    asked = await asked_for(stack, held)
    os.kill(stopped["pid"], signal.SIGCONT)
    await stack.until_settled(len(topups), within_s=90)
    assert await asked_for(stack, held) == asked
    states = await check_books(stack, topups)
    assert states == {"succeeded": len(topups) - len(held), "unresolved": len(held)}
    ended = await ends_ms(redis)
    assert all(ended[topup_id] >= lease_until for topup_id, lease_until in held.items())

    async def replaced() -> bool:
        rows = await asyncio.to_thread(stack.ps, "dispatcher")
        states = {row["pid"]: row["state"] for row in rows}
        return stopped["pid"] not in states and set(states.values()) == {"ready"}

    await until(replaced)
