"""The health checks that several services share: Redis, the queue, and the ledger's database."""

from typing import Any

from shared.bus.beats import instances
from shared.bus.topups import Topups
from shared.contracts.states import Reason
from shared.runtime.clock import Clock
from shared.runtime.redis import Client, durability, refuses_writes
from shared.web.health import Check, Condition


def redis_check(client: Client, *, replicas: int = 0) -> Check:
    """Ask whether Redis answers, takes writes, and has on disk by then what it answers."""

    async def check() -> Condition:
        refused = await writes_check(client)()
        if refused.status != "healthy":
            return refused
        held = await durability(client, replicas=replicas)
        return Condition(
            connected=True,
            status="healthy" if held in ("fsync", "replicated") else "degraded",
            details={"durability": held},
        )

    return check


def writes_check(client: Client) -> Check:
    """Ask whether Redis answers and takes writes; one that does not can still be read."""

    async def check() -> Condition:
        await client.ping()
        problem = await refuses_writes(client)
        if problem is None:
            return Condition(connected=True, status="healthy")
        return Condition(
            connected=True, status="degraded", details={"problem": f"takes no writes: {problem}"}
        )

    return check


def database_check(client: Client, clock: Clock) -> Check:
    """Ask what the ledger last said of its database, and how long ago."""

    async def check() -> Condition:
        now_ms = clock.now_ms()
        for beat in await instances(client, now_ms=now_ms):
            if beat.service == "ledger" and beat.database is not None:
                age = {"age": round(max(now_ms - beat.at_ms, 0) / 1_000, 1)}
                return Condition(
                    connected=bool(beat.database["connected"]),
                    status="healthy" if beat.database["connected"] else "degraded",
                    details=age,
                )
        return Condition(connected=False, status="degraded")

    return check


def queue_check(topups: Topups) -> Check:
    """Ask how many topups wait on the lanes, and how many are in flight."""

    async def check() -> Condition:
        waiting = active = 0
        verified = True
        for partition in range(len(topups.keys)):
            verified = verified and await topups.verified(partition)
            counters = await topups.counters(partition)
            waiting += counters.get("queued", 0)
            active += counters.get("active", 0)
        details: dict[str, Any] = {"waiting": waiting, "active": active}
        if not verified:
            details["problem"] = await _unverified(topups)
        return Condition(
            connected=True, status="healthy" if verified else "degraded", details=details
        )

    return check


async def _unverified(topups: Topups) -> str:
    """Say why nothing is accepted and nothing starts."""
    for partition in range(len(topups.keys)):
        for lane in (await topups.lanes(partition)).values():
            if lane.reason == Reason.STREAMS_LOST:
                return "the streams lack what is in the books; run: topup reconcile streams"
    return "the streams have not been compared with the books yet; a ledger does it"
