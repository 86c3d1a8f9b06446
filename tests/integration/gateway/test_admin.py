"""What an admin and a load balancer see: queue-stats, metrics, health."""

import msgspec
import pytest
from prometheus_client import REGISTRY

from shared.bus.beats import Beat
from shared.contracts.catalogue import OFFERS
from shared.contracts.peers import Limbo, Totals
from shared.contracts.streams import PartitionKeys
from shared.runtime.clock import SystemClock
from shared.runtime.redis import Client
from tests.integration.gateway.house import House

pytestmark = pytest.mark.integration


async def test_queue_stats_of_an_idle_house(home: House) -> None:
    """The documented answer, to the last field; the gateways are at work."""
    gateway = await home.gateway("gateway-1")
    await home.gateway("gateway-2")

    async def both_beat() -> bool:
        return len((await home.admin(gateway, "queue-stats")).json["instances"]) == 2

    await home.until(both_beat)
    assert (await home.admin(gateway, "queue-stats")).json == {
        "success": True,
        "waiting": 0,
        "active": 0,
        "delayed": 0,
        "completed": 0,
        "failed": 0,
        "unresolved": 0,
        "total": 0,
        "lanes": {
            provider: {
                "state": "open",
                "served": False,
                "reason": None,
                "waiting": 0,
                "active": 0,
                "delayed": 0,
                "oldest_waiting_seconds": 0,
            }
            for provider in OFFERS
        },
        "instances": [
            {"id": name, "service": "gateway", "active": 0, "concurrency": 0}
            for name in ("gateway-1", "gateway-2")
        ],
    }


async def test_a_lane_whose_provider_nobody_has_set_up_says_so(
    home: House, gateway: str, redis: Client
) -> None:
    """Open as it may be: only a dispatcher that has spoken of late, and of it, can sell there."""
    now_ms = SystemClock().now_ms()
    for name, at_ms, lane in (("alive", now_ms, "LATCOM"), ("silent", now_ms - 9_000, "DTONE")):
        beat = Beat(id=name, service="dispatcher", owner=name, at_ms=at_ms, lanes=[lane, "GONE"])
        await redis.hset(PartitionKeys(0).instances, name, msgspec.json.encode(beat))
    stats = (await home.admin(gateway, "queue-stats")).json["lanes"]
    shown = (await home.admin(gateway, "lanes")).json["lanes"]
    served = {"LATCOM": True, "RELOADLY": False, "DTONE": False}
    assert {name: lane["served"] for name, lane in stats.items()} == served
    assert {lane["provider"]: lane["served"] for lane in shown} == served


async def test_what_nobody_has_read_grows_old(home: House, gateway: str, redis: Client) -> None:
    """The age is that of the oldest entry that no dispatcher has taken."""
    await home.post(gateway)
    stream = PartitionKeys(0).requests("LATCOM")
    ((entry, fields),) = await redis.xrange(stream)
    moment, _, _ = entry.decode().partition("-")
    await redis.delete(stream)
    await redis.xadd(stream, fields, id=f"{int(moment) - 90_000}-0")
    await redis.xgroup_create(stream, "dispatcher", id="0")
    stats = (await home.admin(gateway, "queue-stats")).json
    assert stats["lanes"]["LATCOM"]["oldest_waiting_seconds"] in (90, 91)


async def test_metrics_are_the_ledgers_with_amounts_as_text(home: House, gateway: str) -> None:
    """The documented answer, to the last field."""
    home.ledger.totals = Totals(
        total_transactions=50,
        revenue={"MXN": 50_000},
        today_transactions=49,
        today_volume={"MXN": 49_000},
        unresolved_transactions=1,
        unresolved_volume={"MXN": 1_050},
        limbo=[Limbo(currency="MXN", age="1d", transactions=1, amount_minor=1_050)],
    )
    assert (await home.admin(gateway, "metrics")).json == {
        "success": True,
        "total_transactions": 50,
        "revenue": {"MXN": "500.00"},
        "today": {"transactions": 49, "volume": {"MXN": "490.00"}},
        "unresolved": {"transactions": 1, "volume": {"MXN": "10.50"}},
        "limbo": [{"currency": "MXN", "age": "1d", "transactions": 1, "volume": "10.50"}],
    }
    home.ledger.silent = True
    answer = await home.admin(gateway, "metrics")
    assert (answer.status, answer.code) == (503, "unavailable")


async def test_health_names_the_instance_and_its_dependencies(
    home: House, gateway: str, redis: Client
) -> None:
    """Healthy once the ledger has said that its database is."""
    health = (await home.ask("GET", f"{gateway}/health")).json
    assert health["instance"]["id"] == "gateway-1"
    assert health["services"]["redis"] == {
        "connected": True,
        "status": "healthy",
        "durability": "fsync",
    }
    assert health["services"]["database"]["connected"] is False
    beat = Beat(
        id="ledger-1",
        service="ledger",
        owner="ledger-1#0",
        at_ms=SystemClock().now_ms(),
        database={"connected": True},
    )
    await redis.hset(PartitionKeys(0).instances, beat.id, msgspec.json.encode(beat))
    await home.post(gateway)
    health = (await home.ask("GET", f"{gateway}/health")).json
    assert health["status"] == "healthy"
    assert health["services"]["database"]["age"] < 5
    assert health["services"]["queue"]["waiting"] == 1
    assert (await home.ask("GET", f"{gateway}/metrics")).status == 404


async def test_requests_are_counted_with_few_labels(home: House, gateway: str) -> None:
    """Paths, keys and customers never become labels."""

    def counted(**labels: str) -> float:
        return REGISTRY.get_sample_value("topup_http_requests_total", labels) or 0.0

    accepted = {"route": "accept", "status": "202", "code": "ok"}
    unknown = {"route": "other", "status": "404", "code": "not_found"}
    before = counted(**accepted), counted(**unknown)
    await home.post(gateway)
    await home.ask("GET", f"{gateway}/some/path")
    assert (counted(**accepted), counted(**unknown)) == (before[0] + 1, before[1] + 1)
