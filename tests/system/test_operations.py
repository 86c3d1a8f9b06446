"""What an operator does and what befalls replicas, while topups flow."""

import asyncio
import os
import signal

import pytest

from tests.system.stack import Stack, accept, check_books, flowing, until

pytestmark = pytest.mark.system


@pytest.mark.settings(SANDBOX_LATENCY="100")
async def test_the_doctor_finds_a_fresh_system_healthy(stack: Stack) -> None:
    """`topup doctor` checks what runs here and has nothing to advise."""
    found = await asyncio.to_thread(stack.topup, "doctor")
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.long
@pytest.mark.settings(SANDBOX_LATENCY="100")
async def test_dispatchers_are_scaled_up_and_down_under_load(stack: Stack) -> None:
    """1 → 5 → 2 dispatchers while 2,000 topups flow: each is paid once, none is in doubt."""
    assert stack.topup("scale", "dispatcher=1").returncode == 0
    making = asyncio.create_task(accept(stack, 2_000))
    for replicas in (5, 2):
        scaled = await asyncio.to_thread(stack.topup, "scale", f"dispatcher={replicas}")
        assert scaled.returncode == 0, scaled.stderr

        async def as_wished(wished: int = replicas) -> bool:
            rows = await asyncio.to_thread(stack.ps, "dispatcher")
            return [row["state"] for row in rows] == ["ready"] * wished

        await until(as_wished)
    topups = await making
    assert len(set(topups)) == 2_000
    await stack.until_settled(2_000, within_s=90)
    assert await check_books(stack, topups) == {"succeeded": 2_000}


@pytest.mark.long
@pytest.mark.parametrize("service", ["gateway", "ledger", "ratelimiter"])
@pytest.mark.settings(SANDBOX_LATENCY="100")
async def test_every_other_service_is_scaled_under_load(stack: Stack, service: str) -> None:
    """Replicas come and go while topups flow; each request is accepted, and each paid once."""
    async with flowing(stack) as topups:
        for replicas in (3, 1):
            before = len(topups)
            scaled = await asyncio.to_thread(stack.topup, "scale", f"{service}={replicas}")
            assert scaled.returncode == 0, scaled.stderr
            assert len(topups) > before, "nothing flowed meanwhile"
    await stack.until_settled(len(topups), within_s=60)
    assert await check_books(stack, topups) == {"succeeded": len(topups)}

    async def all_booked() -> bool:
        _, sold = await stack.get("/api/admin/metrics")
        return bool(sold["total_transactions"] == (await stack.queue())["completed"])

    await until(all_booked)
    audited = await asyncio.to_thread(stack.topup, "ledger", "verify")
    assert audited.returncode == 0, audited.stdout


@pytest.mark.long
@pytest.mark.settings(RATE_LIMIT_PER_MINUTE="200", SANDBOX_LATENCY="20")
async def test_a_minute_without_ratelimiter_stays_under_the_limit(stack: Stack) -> None:
    """Each gateway enforces its share of the limit; health says that it does."""
    aware = set()

    async def all_know_of_each_other() -> bool:
        _, health = await stack.get("/health")
        if health["services"]["ratelimiter"]["gateways"] == 3:
            aware.add(health["instance"]["id"])
        return len(aware) == 3

    await until(all_know_of_each_other)
    replica = stack.ps("ratelimiter")[0]["pid"]
    os.kill(replica, signal.SIGSTOP)  # worse than dead: it is there and does not answer
    try:
        statuses = [(await stack.post())[0] for _ in range(250)]
        assert set(statuses) == {202, 429}
        assert statuses.count(202) <= 200
        _, health = await stack.get("/health")
        assert health["services"]["ratelimiter"]["status"] == "degraded"
    finally:
        os.kill(replica, signal.SIGCONT)

    async def whole() -> bool:
        _, health = await stack.get("/health")
        return bool(health["services"]["ratelimiter"]["status"] == "healthy")

    await until(whole)
