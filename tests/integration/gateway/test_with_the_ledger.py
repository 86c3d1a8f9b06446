"""The gateway and the real ledger: keys, what was, and what the database is said to be."""

import pytest
from msgspec.structs import replace

from services.ledger.customers import Customers
from shared.contracts.peers import ApiKey
from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client
from tests.integration.gateway.house import House

pytestmark = pytest.mark.integration


@pytest.fixture
def gateway(whole: str) -> str:
    """A gateway that asks a real ledger."""
    return whole


async def test_a_topup_outlives_its_record(home: House, gateway: str, redis: Client) -> None:
    """What the 202 said is what the ledger says once Redis has forgotten; and only to its owner."""
    accepted = (await home.post(gateway, key="order-1")).json
    await redis.delete(PartitionKeys(0).record(accepted["topup_id"]))

    async def booked() -> bool:
        return (await home.show(gateway, accepted["topup_id"])).status == 200

    await home.until(booked)
    assert (await home.show(gateway, accepted["topup_id"])).json == accepted


async def test_a_revoked_key_stops(
    home: House, gateway: str, customers: Customers, key: ApiKey
) -> None:
    """As the ledger announces it."""
    assert (await home.post(gateway)).status == 202
    await customers.announce(replace(key, active=False))

    async def refused() -> bool:
        return (await home.post(gateway)).status == 401

    await home.until(refused)


async def test_metrics_and_health(home: House, gateway: str) -> None:
    """The ledger's totals, and what its heartbeat says of the database."""
    metrics = (await home.admin(gateway, "metrics")).json
    assert metrics["total_transactions"] == 0
    health = (await home.ask("GET", f"{gateway}/health")).json
    assert health["services"]["database"]["status"] == "healthy"
    stats = (await home.admin(gateway, "queue-stats")).json
    assert "ledger-1" in [instance["id"] for instance in stats["instances"]]
