"""A house with one gateway, on an empty Valkey; and one whose ledger is a real one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import psycopg
import pytest
import uvloop

from ops.ports import free_port
from services.ledger.app import build
from services.ledger.changes import Changes
from services.ledger.customers import Customers, Seed
from services.ledger.database import Database
from services.ledger.keys import Key, Keys, NewKey
from services.ledger.migrations import migrate, shipped
from services.ledger.operators import Operators
from services.ledger.settings import LedgerSettings
from shared.contracts.keys import hash_of, shown_of
from shared.runtime.clock import SystemClock
from shared.runtime.instance import identify
from shared.runtime.redis import Client
from tests.integration.bus.bench import Bench
from tests.integration.gateway.house import House, house
from tests.integration.gateway.ledger_stand import CUSTOMER, MERCHANT, SECRET
from tests.integration.gateway.people import NAMES, People
from tests.rights import as_service

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture
async def home(redis_url: str) -> AsyncIterator[House]:
    """All that gateways need."""
    async with house(redis_url, redis_url) as parts:
        yield parts


@pytest.fixture
async def gateway(home: House) -> str:
    """The address of one gateway."""
    return await home.gateway()


@pytest.fixture
async def changes(database_url: str, redis: Client) -> AsyncIterator[Changes]:
    """Where customers and keys are kept, in a migrated database."""
    migrate(database_url, shipped(), say=lambda _line: None)
    database = Database(database_url, connections_max=1)
    await database.open()
    yield Changes(database, redis)
    await database.close()


@pytest.fixture
def customers(changes: Changes) -> Customers:
    """Who may sell."""
    return Customers(changes)


def seed_of(secret: str, customer_id: str, merchant: str) -> Seed:
    """Return a customer with this key."""
    return Seed(customer_id, merchant, hash_of(secret), shown_of(secret))


@pytest.fixture
async def key(changes: Changes, customers: Customers) -> Key:
    """The merchant's key."""
    await customers.seed(seed_of(SECRET, CUSTOMER, MERCHANT))
    return await Keys(changes).find(hash_of(SECRET))


@pytest.fixture
async def ledger(home: House, key: Key, database_url: str) -> AsyncIterator[str]:
    """The address of a real ledger."""
    with psycopg.connect(database_url) as connection:  # the streams are new for each test
        connection.execute("DELETE FROM positions")
        connection.execute("DELETE FROM generations")
    port = free_port()
    settings = LedgerSettings(
        port=port,
        instance_port=1,
        redis_url=as_service(home.redis_url, "ledger"),
        database_url=database_url,
        drain_timeout_ms=1_000,
    )
    instance = identify("ledger", {"INSTANCE_ID": "ledger-1"}, started=0.0)
    service = build(settings, instance, SystemClock())
    await service.open()
    for listener in service.listeners:
        await listener.open()
    yield f"http://127.0.0.1:{port}"
    for listener in service.listeners:
        await listener.close()
    await service.close()


@pytest.fixture
async def whole(home: House, ledger: str) -> AsyncIterator[str]:
    """The address of a gateway that asks a real ledger."""
    yield await home.gateway(ledger_url=ledger)
    await home.stop("gateway-1")


@pytest.fixture
async def bench(redis: Client) -> Bench:
    """The streams, as dispatchers use them."""
    return Bench(redis)


@pytest.fixture
async def people(
    home: House, whole: str, changes: Changes, database_url: str
) -> AsyncIterator[People]:
    """Ana and ben, known to the gateway."""
    operators, both = Operators(changes), People(home, whole, database_url)
    for name, key in both.keys.items():
        await operators.add(name, NewKey(sha256=hash_of(key), prefix=shown_of(key)))

    async def known() -> bool:
        asked = {"x-admin-key": both.keys["ben"]}
        return (await home.ask("GET", f"{whole}/api/admin/lanes", headers=asked)).status == 200

    await home.until(known)
    yield both
    for name in NAMES:
        await operators.revoke(name)


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Run on the loop of production."""
    del item
    return {"uvloop": uvloop.new_event_loop}
