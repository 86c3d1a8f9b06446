"""`/health` answers in time whatever its checks do, and says what each of them found."""

import asyncio

from shared.runtime.clock import SystemClock
from shared.runtime.instance import identify
from shared.web.health import Check, Condition, Health

HEALTHY = Condition(connected=True, status="healthy")
LOST = {"connected": False, "status": "unhealthy"}


def health(**checks: Check) -> Health:
    """Return a started replica's health; it needs its database."""
    instance = identify("ledger", {"INSTANCE_ID": "ledger-1"}, started=0.0)
    found = Health(instance, SystemClock(), checks=checks, essential=frozenset({"database"}))
    found.started()
    return found


async def test_a_check_that_does_not_even_end_when_cancelled_is_not_waited_for() -> None:
    """A stopped PostgreSQL holds its driver for seconds; whoever asks has their answer."""
    thaw, cancelled = asyncio.Event(), 0

    async def frozen() -> Condition:
        nonlocal cancelled
        while not thaw.is_set():
            try:
                await thaw.wait()
            except asyncio.CancelledError:
                cancelled += 1
        return HEALTHY

    replica = health(database=frozen)
    async with asyncio.timeout(10):
        for _ in range(3):
            status, body = await replica.report()
            assert status == 503
            assert body.services["database"] == LOST
    assert cancelled == 1
    thaw.set()
    status, body = await replica.report()
    assert status == 200
    assert body.services["database"] == {"connected": True, "status": "healthy"}


async def test_a_check_that_fails_makes_what_needs_it_unhealthy_and_the_rest_degraded() -> None:
    """A load balancer takes the replica out only where it cannot serve."""

    async def broken() -> Condition:
        raise ConnectionResetError

    async def well() -> Condition:
        return HEALTHY

    status, body = await health(database=broken, redis=well).report()
    assert (status, body.status) == (503, "unhealthy")
    status, body = await health(database=well, redis=broken).report()
    assert (status, body.status) == (200, "degraded")
    assert body.services["redis"] == {"connected": False, "status": "degraded"}


async def test_a_replica_that_starts_or_drains_is_unhealthy() -> None:
    """Whatever its dependencies say."""
    replica = health()
    assert (await replica.report())[0] == 200
    replica.draining()
    assert (await replica.report())[0] == 503
