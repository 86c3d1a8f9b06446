"""The health checks that several services share: Redis, the queue, and the ledger's database."""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from shared.bus.beats import instances
from shared.bus.topups import Topups
from shared.contracts.limits import CHECK_TIMEOUT_MS
from shared.contracts.states import Reason
from shared.runtime.clock import Clock
from shared.runtime.redis import Client
from shared.runtime.worth import TRIALS_KEY, durability, refuses_writes
from shared.web.health import RANK, Check, Condition

TRIAL_EACH_S: Final = 5.0
_SAFE: Final = frozenset({"fsync", "replicated"})


def redis_check(client: Client, topups: Topups) -> Check:
    """Ask whether Redis answers, takes writes, and has on disk by then what it answers.

    Of a cluster every primary is asked; what the worst of them says is told, but while any of them
    answers so does Redis.
    """
    trials = [names.trials for names in topups.keys]
    durable = _Durable(client, topups.replicas)

    async def check() -> Condition:
        groups = await client.by_server(trials)
        if len(groups) == 1:
            return await _condition(client, trials[0], durable)
        asked = await asyncio.gather(
            *(_soon(_condition(client, keys[0], durable)) for keys in groups)
        )
        answered = [condition for condition in asked if condition is not None]
        if not answered:
            raise RedisConnectionError("no server of the cluster answers")
        if len(answered) < len(asked):
            silent = f"{len(asked) - len(answered)} of {len(asked)} servers give no answer"
            return Condition(connected=True, status="degraded", details={"problem": silent})
        return max(answered, key=lambda condition: RANK[condition.status])

    return check


def writes_check(client: Client) -> Check:
    """Ask whether Redis answers and takes writes; one that does not can still be read."""
    return partial(_writable, client, TRIALS_KEY)


class _Durable:
    """What an answered write is worth: with replicas by a trial each time, else now and then.

    How a server syncs is a setting, and each trial waits for its disk twice; whether replicas
    follow is known of this moment only.
    """

    def __init__(self, client: Client, replicas: int) -> None:
        self._client = client
        self._replicas = replicas
        self._safe: dict[str, tuple[str, float]] = {}

    async def of(self, key: str) -> str:
        now = asyncio.get_running_loop().time()
        held, until = self._safe.get(key, ("", 0.0))
        if now >= until:
            held = await durability(self._client, replicas=self._replicas, key=key)
            if held in _SAFE and not self._replicas:
                self._safe[key] = (held, now + TRIAL_EACH_S)
        return held


async def _condition(client: Client, key: str, durable: _Durable) -> Condition:
    """Ask the server that has this key."""
    refused = await _writable(client, key)
    if refused.status != "healthy":
        return refused
    held = await durable.of(key)
    return Condition(
        connected=True,
        status="healthy" if held in _SAFE else "degraded",
        details={"durability": held},
    )


async def _writable(client: Client, key: str) -> Condition:
    await (await client.at(key)).ping()
    problem = await refuses_writes(client, key=key)
    if problem is None:
        return Condition(connected=True, status="healthy")
    return Condition(
        connected=True, status="degraded", details={"problem": f"takes no writes: {problem}"}
    )


async def _soon(asking: Awaitable[Condition]) -> Condition | None:
    """Return the answer, if it comes while somebody still waits for the whole."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_MS / 1_000 * 0.8):
            return await asking
    except (RedisError, OSError, TimeoutError):
        return None


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
