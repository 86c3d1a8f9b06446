"""The gateway and the real ledger: keys, what was, and what the database is said to be."""

from collections.abc import AsyncIterator
from hashlib import sha256

import pytest
from msgspec.structs import replace

from ops.ports import free_port
from services.ledger.app import build
from services.ledger.customers import Customers, Seed
from services.ledger.database import Database
from services.ledger.migrations import migrate, shipped
from services.ledger.settings import LedgerSettings
from shared.contracts.peers import ApiKey
from shared.contracts.streams import PartitionKeys
from shared.runtime.clock import SystemClock
from shared.runtime.instance import identify
from shared.runtime.redis import Client
from tests.integration.gateway.house import House
from tests.integration.gateway.ledger_stand import CUSTOMER, MERCHANT, SECRET

pytestmark = pytest.mark.integration

SEED = Seed(CUSTOMER, MERCHANT, sha256(SECRET.encode()).hexdigest(), SECRET[:8])


@pytest.fixture
async def customers(database_url: str, redis: Client) -> AsyncIterator[Customers]:
    """Who may sell, in a migrated database."""
    migrate(database_url, shipped(), say=lambda _line: None)
    database = Database(database_url, connections_max=1)
    await database.open()
    yield Customers(database, redis)
    await database.close()


@pytest.fixture
async def key(customers: Customers) -> ApiKey:
    """The merchant's key."""
    return await customers.seed(SEED)


@pytest.fixture
async def gateway(home: House, key: ApiKey, database_url: str) -> AsyncIterator[str]:
    """A gateway that asks a real ledger."""
    port = free_port()
    settings = LedgerSettings(
        port=port,
        instance_port=1,
        redis_url=home.redis_url,
        database_url=database_url,
        drain_timeout_ms=1_000,
    )
    instance = identify("ledger", {"INSTANCE_ID": "ledger-1"}, started=0.0)
    ledger = build(settings, instance, SystemClock())
    await ledger.open()
    for listener in ledger.listeners:
        await listener.open()
    yield await home.gateway(ledger_url=f"http://127.0.0.1:{port}")
    await home.stop("gateway-1")
    for listener in ledger.listeners:
        await listener.close()
    await ledger.close()


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
