"""Single hops: the ratelimiter's checks and its round trip, and finding an API key."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final

import msgspec

from bench.houses import House
from bench.offer import percentiles
from services.gateway.keys import Keyring
from services.gateway.peers import Ledger
from services.gateway.ratelimiter import Ratelimiter
from shared.contracts.limits import BATCH_MAX
from shared.contracts.peers import ApiKey, LimitCheck, LimitRequest
from shared.runtime.clock import SystemClock
from shared.runtime.redis import connect

CUSTOMERS: Final = 500
LIMIT: Final = 1_000_000
GATEWAYS: Final = 3
IN_MEMORY: Final = 20_000


class Hops(msgspec.Struct, frozen=True, kw_only=True):
    """What each took."""

    checks_per_s: float  # in batches, three gateways' at once
    check_p50_ms: float  # alone
    check_p99_ms: float
    keys_p50_ms: float  # all keys, from PostgreSQL through the ledger
    keys_p99_ms: float
    key_us: float  # one, from memory


def hops(house: House, *, seconds: float) -> Hops:
    """Measure on a house that does nothing else."""
    return asyncio.run(_hops(house, seconds))


async def _hops(house: House, seconds: float) -> Hops:
    limiter = Ratelimiter(f"http://127.0.0.1:{house.ports['ratelimiter-1']}")
    ledger = Ledger(f"http://127.0.0.1:{house.ports['ledger-1']}")
    try:
        many = await _checks_per_s(limiter, seconds)
        one = LimitRequest("bench", [LimitCheck("ALONE", LIMIT)])
        check = await _times_ms(lambda: limiter.check(one), seconds / 2)
        keys = await _times_ms(ledger.keys, seconds / 2)
    finally:
        await limiter.close()
        await ledger.close()
    return Hops(
        checks_per_s=many,
        check_p50_ms=check[49],
        check_p99_ms=check[98],
        keys_p50_ms=keys[49],
        keys_p99_ms=keys[98],
        key_us=_key_us(),
    )


async def _checks_per_s(limiter: Ratelimiter, seconds: float) -> float:
    """Ask in full batches, as many at once as there are gateways."""
    done, began = 0, time.monotonic()

    async def gateway(name: str) -> None:
        nonlocal done
        customer = 0
        while time.monotonic() - began < seconds:
            checks = [LimitCheck(f"C{(customer + n) % CUSTOMERS}", LIMIT) for n in range(BATCH_MAX)]
            customer += BATCH_MAX
            await limiter.check(LimitRequest(name, checks))
            done += BATCH_MAX

    await asyncio.gather(*(gateway(f"bench-{n}") for n in range(GATEWAYS)))
    return done / (time.monotonic() - began)


async def _times_ms(ask: Callable[[], Awaitable[object]], seconds: float) -> list[float]:
    took, began = [], time.monotonic()
    while time.monotonic() - began < seconds:
        started = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - started) * 1_000)
    return percentiles(took)


def _key_us() -> float:
    """Find keys among those of many customers, as a gateway does for each request."""
    ledger, client = Ledger("http://127.0.0.1:1"), connect("redis://127.0.0.1:1/0")
    ring = Keyring(ledger, client, SystemClock(), stale_ms=900_000)
    secrets = [f"tk_{n:040}" for n in range(CUSTOMERS)]
    for n, secret in enumerate(secrets):
        hashed = sha256(secret.encode()).hexdigest()
        ring._keys[hashed] = ApiKey(sha256=hashed, customer_id=f"C{n}", merchant="m")  # noqa: SLF001 - nothing to ask here
    started = time.perf_counter()
    for n in range(IN_MEMORY):
        assert ring.find(secrets[n % CUSTOMERS]) is not None
    return (time.perf_counter() - started) / IN_MEMORY * 1e6
