"""The owner's walk-through, on whatever runs: health, fifty at once, queue-stats, metrics."""

import asyncio

from msgspec import Struct

from tests.system.stack import Stack, until


class Walked(Struct, frozen=True):
    """Who was met."""

    gateways: set[str]
    dispatchers: set[str]


async def walk(stack: Stack) -> Walked:
    """Do what the deployment guide says on a fresh stack, and insist on what it says is seen."""
    gateways = set()
    for _ in range(40):
        status, health = await stack.get("/health")
        assert status == 200
        assert health["services"]["redis"] == {
            "connected": True,
            "status": "healthy",
            "durability": "fsync",
        }
        assert health["services"]["database"]["connected"] is True
        assert health["instance"]["memory"].endswith("MB")
        assert isinstance(health["instance"]["pid"], int)
        gateways.add(health["instance"]["id"])

    answers = await asyncio.gather(*(stack.post() for _ in range(50)))
    assert [status for status, _ in answers] == [202] * 50
    topups = {body["topup_id"] for _, body in answers}
    assert len(topups) == 50

    stats = await stack.until_settled(50)
    expected = {"completed": 50, "failed": 0, "unresolved": 0, "total": 50, "waiting": 0}
    assert {name: stats[name] for name in expected} == expected
    rows = stats["instances"]
    dispatchers = {row["id"] for row in rows if row["service"] == "dispatcher"}

    async def booked() -> object:
        _, metrics = await stack.get("/api/admin/metrics")
        return metrics if metrics["total_transactions"] == 50 else None

    metrics = await until(booked)
    assert metrics["revenue"] == {"MXN": "500.00"}
    assert metrics["today"] == {"transactions": 50, "volume": {"MXN": "500.00"}}
    for topup_id in topups:
        paid = await stack.book(topup_id)
        assert paid["paid"] == 1, "each was paid once, by the provider's own book"
    return Walked(gateways, dispatchers)
