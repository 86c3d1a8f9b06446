"""POST and GET of topups: what was promised can be read, anywhere, and is promised once."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from ops.embedded import Running
from shared.bus import functions
from shared.bus.lanes import Lanes
from shared.bus.records import Record
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.contracts.instants import timestamp
from shared.contracts.peers import TopupRow
from shared.runtime.redis import Client
from tests.integration.gateway.house import WAIT_S_MAX, Answer, House, house
from tests.integration.gateway.ledger_stand import CUSTOMER, api_key
from tests.vouching import vouch_for

pytestmark = pytest.mark.integration


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process, and let it go on afterwards."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
BOOKED = TopupRow(
    topup_id="0195b8a0-0000-7000-8000-000000000000",
    customer_id=CUSTOMER,
    phone="+525566374683",
    country="MX",
    amount_minor=1_000,
    currency="MXN",
    provider="LATCOM",
    product="XOOM_10_MXN",
    status="succeeded",
    provider_reference="P-1",
    accepted_at_ms=1_795_471_200_123,
    settled_at_ms=1_795_471_201_000,
)


async def test_a_topup_is_accepted_and_readable_everywhere(home: House) -> None:
    """The 202 and what another gateway shows are the same, to the last field."""
    first, second = await home.gateway("gateway-1"), await home.gateway("gateway-2")
    answer = await home.post(first)
    assert answer.status == 202
    shown = answer.json
    assert UUID7.fullmatch(shown["topup_id"])
    assert INSTANT.fullmatch(shown["accepted_at"])
    assert list(shown.items()) == [
        ("success", True),
        ("topup_id", shown["topup_id"]),
        ("status", "queued"),
        ("customer_id", CUSTOMER),
        ("phone", "+525566374683"),
        ("amount", "10.00"),
        ("currency", "MXN"),
        ("provider", "LATCOM"),
        ("provider_reference", None),
        ("reason", None),
        ("accepted_at", shown["accepted_at"]),
        ("settled_at", None),
        ("product", "XOOM_10_MXN"),
        ("reference", None),
        ("metadata", None),
        ("expected_at", None),
    ]
    elsewhere = await home.show(second, shown["topup_id"])
    assert (elsewhere.status, elsewhere.json) == (200, shown)


async def test_a_repeat_is_the_same_topup(home: House) -> None:
    """Key quoted, bare or as reference, one after the other on two gateways."""
    one, two = await home.gateway("gateway-1"), await home.gateway("gateway-2")
    first = await home.post(one, key='"order-1"')
    repeats = [
        await home.post(two, key="order-1"),
        await home.post(
            one,
            {
                "phone": "+5215566374683",
                "amount": "10.00",
                "provider": "LATCOM",
                "reference": "order-1",
            },
        ),
    ]
    assert "Idempotent-Replayed" not in first.headers
    for repeat in repeats:
        assert repeat.status == 202
        assert repeat.headers["Idempotent-Replayed"] == "true"
        assert repeat.json == first.json
    assert (await home.admin(one, "queue-stats")).json["total"] == 1


async def test_many_repeats_at_once_are_one_topup(home: House) -> None:
    """Never a second, also when all arrive at the same moment on two gateways."""
    gateways = [await home.gateway(f"gateway-{n}") for n in (1, 2)]
    answers = await asyncio.gather(*(home.post(gateways[n % 2], key="k") for n in range(40)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.json["topup_id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert (await home.admin(gateways[0], "queue-stats")).json["total"] == 1


async def test_our_own_repeat_is_no_replay(
    home: House, gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An accept whose answer was lost is repeated with the same id: the merchant made one."""
    monkeypatch.setattr("services.gateway.app.uuid7", lambda: BOOKED.topup_id)
    first, again = await home.post(gateway), await home.post(gateway)
    assert again.status == 202
    assert again.json == first.json
    assert "Idempotent-Replayed" not in again.headers


async def test_without_a_key_each_request_is_a_topup(home: House, gateway: str) -> None:
    """Fifty at once are fifty."""
    answers = await asyncio.gather(*(home.post(gateway) for _ in range(50)))
    assert len({answer.json["topup_id"] for answer in answers}) == 50
    stats = (await home.admin(gateway, "queue-stats")).json
    assert (stats["waiting"], stats["total"]) == (50, 50)


async def test_another_customers_topup_is_not_there(home: House) -> None:
    """404, as for an id that never was; in Redis and in the ledger alike."""
    home.ledger.keys.append(api_key("other", customer_id="OTHER"))
    home.ledger.rows[BOOKED.topup_id] = BOOKED
    gateway = await home.gateway(stream_partitions=1)
    mine = (await home.post(gateway)).json["topup_id"]
    for topup_id in (mine, BOOKED.topup_id):
        assert (await home.show(gateway, topup_id, "other")).status == 404
        assert (await home.show(gateway, topup_id)).status == 200


async def test_what_redis_has_forgotten_comes_from_the_ledger(home: House, gateway: str) -> None:
    """In the same form."""
    home.ledger.rows[BOOKED.topup_id] = BOOKED
    shown = (await home.show(gateway, BOOKED.topup_id)).json
    assert shown["status"] == "succeeded"
    assert shown["provider_reference"] == "P-1"
    assert shown["settled_at"] == "2026-11-23T22:00:01.000Z"


async def test_without_the_ledger_only_what_redis_has_is_known(home: House, gateway: str) -> None:
    """A topup that may exist is never called not found."""
    mine = (await home.post(gateway)).json["topup_id"]
    home.ledger.silent = True
    assert (await home.show(gateway, mine)).status == 200
    unknown = await home.show(gateway, BOOKED.topup_id)
    assert (unknown.status, unknown.code) == (503, "unavailable")
    assert unknown.headers["Retry-After"] == "1"


async def test_a_held_lane_is_told(home: House, gateway: str, redis: Client) -> None:
    """Queued behind a held lane reads as waiting for it; the admin sees which, and why."""
    await Lanes(redis, Topups(redis, partitions=1, window_ms=60_000)).hold(
        "LATCOM", act=act_by("ops", why="strike")
    )
    topup_id = (await home.post(gateway)).json["topup_id"]
    shown = (await home.show(gateway, topup_id)).json
    assert (shown["status"], shown["reason"]) == ("waiting", "lane_held")
    lane = (await home.admin(gateway, "queue-stats")).json["lanes"]["LATCOM"]
    assert (lane["state"], lane["reason"], lane["waiting"]) == ("held", "strike", 1)


async def test_a_held_lane_is_told_with_the_time_at_which_it_goes_on(
    home: House, gateway: str, redis: Client
) -> None:
    """Before any dispatcher has taken a step; never later than DELIVER_BEFORE lets it wait."""
    topups = Topups(redis, partitions=1, window_ms=60_000)
    topup_id = (await home.post(gateway)).json["topup_id"]
    now_ms = await topups.now_ms()

    async def expected(until_ms: int | None) -> str | None:
        await Lanes(redis, topups).hold("LATCOM", act=act_by("me", why="strike"), until_ms=until_ms)
        home.clock.ahead_s += 2  # what a gateway knows of lanes is a second old at most
        shown = (await home.show(gateway, topup_id)).json
        assert (shown["status"], shown["reason"]) == ("waiting", "lane_held")
        return cast("str | None", shown["expected_at"])

    assert await expected(None) is None
    assert await expected(now_ms + 60_000) == timestamp(now_ms + 60_000)
    (record,) = await topups.look(0, [topup_id])
    assert isinstance(record, Record)
    assert record.deliver_before_ms is not None
    assert await expected(now_ms + 86_400_000) == timestamp(record.deliver_before_ms)
    assert await expected(now_ms - 1) is None, "somebody tries it now"


async def test_partitions_hold_together(home: House) -> None:
    """With several partitions everything is found, and counted once."""
    for number in range(8):
        home.ledger.keys.append(api_key(f"key-{number}", customer_id=f"C{number}"))
    gateway = await home.gateway(stream_partitions=4)
    for number in range(8):
        secret = f"key-{number}"
        answer = await home.post(gateway, x_api_key=secret, x_customer_id=None)
        assert (await home.show(gateway, answer.json["topup_id"], secret)).status == 200
    assert (await home.admin(gateway, "queue-stats")).json["waiting"] == 8


async def test_no_answer_is_not_known_and_a_repeat_finds_out(
    redis_url: str, tmp_path: Path
) -> None:
    """The streams stop in the middle: 503 with the id; the repeat is that very topup."""
    streams = Running.valkey(tmp_path / "streams")
    vouch_for(streams.url)
    async with house(streams.url, redis_url) as home:
        gateway = await home.gateway()
        await home.post(gateway)
        with stopped(streams.pid):
            unsure = await home.post(gateway, key="k", accept="application/problem+json")
        assert (unsure.status, unsure.code) == (503, "unavailable")
        assert "not known" in unsure.json["detail"]
        assert unsure.json["charged"] == "unknown"
        repeat = await home.post(gateway, key="k")
        assert repeat.status == 202
        assert repeat.json["topup_id"] == unsure.json["topup_id"]
        assert (await home.admin(gateway, "queue-stats")).json["total"] == 2
    streams.stop()


async def test_a_look_waits_until_new_functions_are_vouched_for(
    home: House, redis_url: str
) -> None:
    """A deployment replaces them, and a ledger needs a moment: nobody is sent away for that."""
    gateway = await home.gateway()
    topup_id = (await home.post(gateway)).json["topup_id"]
    with Redis.from_url(redis_url) as client:
        client.function_load(functions.source().decode(), replace=True)
    look = asyncio.create_task(home.show(gateway, topup_id))
    asked = [asyncio.create_task(home.post(gateway, key="k")) for _ in range(3)]
    await asyncio.wait([look, *asked], timeout=0.1)  # so that they are refused once
    assert not look.done()
    vouch_for(redis_url)
    assert (await look).status == 200
    assert [(await one).status for one in asked] == [202] * 3


async def test_a_look_is_answered_where_nobody_vouches(home: House, redis_url: str) -> None:
    """In time, and truly: not now."""
    gateway = await home.gateway()
    topup_id = (await home.post(gateway)).json["topup_id"]
    with Redis.from_url(redis_url) as client:
        client.function_load(functions.source().decode(), replace=True)
    refused = await home.show(gateway, topup_id)
    assert (refused.status, refused.code) == (503, "unavailable")


async def refused_for_sure(home: House, gateway: str) -> Answer:
    """Repeat until no command is under way on a connection that died meanwhile."""
    async with asyncio.timeout(WAIT_S_MAX):
        while "not known" in (refused := await home.post(gateway, key="k")).json["error"]:
            continue
    return refused


async def test_no_streams_is_nothing_accepted(redis_url: str, tmp_path: Path) -> None:
    """Surely nothing: the text says so, and afterwards everything goes on by itself."""
    streams = Running.valkey(tmp_path / "streams")
    vouch_for(streams.url)
    async with house(streams.url, redis_url) as home:
        gateway = await home.gateway()
        await home.post(gateway)
        streams.kill()
        refused = await refused_for_sure(home, gateway)
        assert (refused.status, refused.code) == (503, "unavailable")
        assert "Nothing was accepted" in refused.json["error"]
        assert refused.headers["Retry-After"] == "1"
        health = await home.ask("GET", f"{gateway}/health")
        assert (health.status, health.json["status"]) == (503, "unhealthy")
        streams.revive()
        vouch_for(streams.url)
        assert (await home.post(gateway, key="k")).status == 202
        assert (await home.admin(gateway, "queue-stats")).json["total"] == 2
    streams.stop()
