"""Replicas and servers that die with work in flight: nothing lost, nothing paid twice."""

import asyncio
import os
import signal

import pytest

from tests.system.stack import Stack, accept, check_books, until

pytestmark = pytest.mark.system


@pytest.mark.settings(SANDBOX_LATENCY="100")
async def test_a_drained_dispatcher_leaves_no_doubt(stack: Stack) -> None:
    """SIGTERM under load: what is in flight is finished, the rest goes to others."""
    making = asyncio.create_task(accept(stack, 300))
    for row in stack.ps("dispatcher"):
        os.kill(row["pid"], signal.SIGTERM)
        await asyncio.sleep(0.3)
    topups = await making
    await stack.until_settled(300, within_s=60)
    assert await check_books(stack, topups) == {"succeeded": 300}


@pytest.mark.settings(SANDBOX_LATENCY="100", fresh=True)
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
