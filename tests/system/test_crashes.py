"""Replicas and servers that die with work in flight: nothing lost, nothing paid twice."""

import asyncio
import os
import signal

import pytest

from tests.system.stack import Stack, until

pytestmark = pytest.mark.system


async def accept(stack: Stack, count: int) -> list[str]:
    """Make topups, each until it is known to be accepted, as a merchant would."""

    async def one(number: int) -> str:
        while True:
            try:
                status, body = await stack.post(key=f"crash-{number}")
            except OSError:
                status, body = 0, {}
            if status in (200, 202):
                return str(body["topup_id"])
            await asyncio.sleep(0.1)

    return await asyncio.gather(*(one(number) for number in range(count)))


async def check_books(stack: Stack, topups: list[str]) -> dict[str, int]:
    """Compare what merchants are told with what the provider paid; return the states."""
    states: dict[str, int] = {}
    told_of = await asyncio.gather(*(stack.status_of(topup_id) for topup_id in topups))
    book_of = await asyncio.gather(*(stack.book(topup_id) for topup_id in topups))
    for topup_id, answer, book in zip(topups, told_of, book_of, strict=True):
        told, paid = answer["status"], book.get("paid", 0)
        states[told] = states.get(told, 0) + 1
        assert paid <= 1, f"{topup_id} was paid {paid} times"
        assert not (told == "succeeded" and not paid), f"{topup_id} was told paid, and was not"
        assert not (told == "failed" and paid), f"{topup_id} was told failed, and was paid"
    return states


@pytest.mark.settings(SANDBOX_LATENCY="500", SANDBOX_DEDUPES="on", LATCOM_TIMEOUT="3s", STALL="2s")
async def test_a_killed_dispatcher_is_taken_over_where_the_provider_dedupes(stack: Stack) -> None:
    """Everything in flight at the kill ends as succeeded, and is paid once."""
    topups = await accept(stack, 200)
    victim = stack.ps("dispatcher")[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    await stack.until_settled(200, within_s=60)
    assert await check_books(stack, topups) == {"succeeded": 200}


@pytest.mark.settings(SANDBOX_LATENCY="500", LATCOM_TIMEOUT="2s", STALL="2s")
async def test_a_killed_dispatcher_leaves_doubt_where_nobody_can_be_asked(stack: Stack) -> None:
    """What was in flight at LATCOM ends unresolved after the lease, and is never sent again."""
    topups = await accept(stack, 100)
    victim = stack.ps("dispatcher")[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    await stack.until_settled(100, within_s=90)
    states = await check_books(stack, topups)
    assert states.get("failed", 0) == 0
    assert 1 <= states.get("unresolved", 0) <= 20


@pytest.mark.settings(SANDBOX_LATENCY="200")
async def test_a_drained_dispatcher_leaves_no_doubt(stack: Stack) -> None:
    """SIGTERM under load: what is in flight is finished, the rest goes to others."""
    making = asyncio.create_task(accept(stack, 300))
    for row in stack.ps("dispatcher"):
        os.kill(row["pid"], signal.SIGTERM)
        await asyncio.sleep(0.3)
    topups = await making
    await stack.until_settled(300, within_s=60)
    assert await check_books(stack, topups) == {"succeeded": 300}


@pytest.mark.settings(SANDBOX_LATENCY="50")
async def test_killed_gateways_and_servers_lose_nothing(stack: Stack) -> None:
    """Gateways, the ledger, Valkey and PostgreSQL die under load; the books agree at the end."""
    making = asyncio.create_task(accept(stack, 400))
    for service in ("gateway", "ledger", "valkey", "postgres", "ratelimiter", "valkey-limits"):
        await asyncio.sleep(0.3)
        os.kill(stack.ps(service)[0]["pid"], signal.SIGKILL)
    topups = await making
    assert len(set(topups)) == 400
    stats = await stack.until_settled(400, within_s=90)
    assert stats["total"] == 400, "what was accepted is what merchants were told"
    await check_books(stack, topups)

    async def agree() -> bool:
        status, metrics = await stack.get("/api/admin/metrics")
        return status == 200 and metrics["total_transactions"] == stats["completed"]

    await until(agree, within_s=30)
