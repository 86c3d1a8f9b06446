"""The gateway and the real ledger: keys, what was, and what the database is said to be."""

import datetime as dt
from functools import partial

import pytest

from services.ledger.changes import Changes
from services.ledger.keys import Key, Keys, NewKey
from shared.contracts.keys import WRITE, draw_key, hash_of, shown_of
from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client
from tests.integration.gateway.house import House
from tests.integration.gateway.ledger_stand import CUSTOMER

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


async def test_a_revoked_key_stops(home: House, gateway: str, changes: Changes) -> None:
    """As soon as the ledger's database has it."""
    keys, secret = Keys(changes), draw_key()
    new = NewKey(sha256=hash_of(secret), prefix=shown_of(secret))
    await keys.create(CUSTOMER, new, scopes=[WRITE])

    async def answered(status: int) -> bool:
        return (await home.post(gateway, x_api_key=secret)).status == status

    await home.until(partial(answered, 202))
    await keys.revoke(await keys.find(new.sha256))
    await home.until(partial(answered, 401))


async def test_metrics_and_health(home: House, gateway: str) -> None:
    """The ledger's totals, and what its heartbeat says of the database."""
    metrics = (await home.admin(gateway, "metrics")).json
    assert metrics["total_transactions"] == 0
    health = (await home.ask("GET", f"{gateway}/health")).json
    assert health["services"]["database"]["status"] == "healthy"
    stats = (await home.admin(gateway, "queue-stats")).json
    assert "ledger-1" in [instance["id"] for instance in stats["instances"]]


async def test_a_key_used_at_a_gateway_is_known_to_be_used(
    home: House, ledger: str, changes: Changes, key: Key
) -> None:
    """Once the gateway has reported, at the latest when it drains."""
    gateway = await home.gateway("gateway-2", ledger_url=ledger)
    before = dt.datetime.now(dt.UTC)
    assert (await home.post(gateway)).status == 202
    await home.stop("gateway-2")
    last_used_at = (await Keys(changes).find(key.id)).last_used_at
    assert last_used_at is not None
    assert before - dt.timedelta(minutes=1) <= last_used_at <= dt.datetime.now(dt.UTC)


BODIES = [
    (b"", 400, "not the uses of keys"),
    (b"\xff", 400, "not the uses of keys"),
    (b'{"last_used_at_ms": {"a": "now"}}', 400, "not the uses of keys"),
    (b'{"last_used_at_ms": {"a": -1}}', 400, "not the uses of keys"),
    (b'{"last_used_at_ms": {"a": 253402300800000}}', 400, "not the uses of keys"),
    (b'{"last_used_at_ms": {"a": 253402300799999}}', 200, '{"noted":0}'),
    (b" " * 200_000, 413, "at most 1000 keys"),
]


async def test_what_is_told_of_keys_is_checked(home: House, ledger: str) -> None:
    """A mistake of a gateway costs an answer, not a time in the year 50000."""
    for body, status, says in BODIES:
        answer = await home.ask("POST", f"{ledger}/keys/uses", data=body)
        assert (answer.status, says in answer.body.decode()) == (status, True), body[:64]
