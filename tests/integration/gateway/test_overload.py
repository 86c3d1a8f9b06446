"""A gateway with more to do than it may hold: it says so at once, and holds no more."""

import asyncio
from contextlib import AsyncExitStack, suppress

from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client
from tests.integration.gateway.house import Answer, House
from tests.integration.gateway.test_connections import WHOLE, opened, told

NOBODYS = "0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"
ASKS = b"HEAD /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n"
COUNTERS = PartitionKeys(0).counters
IDLE = 400


def check_refused(answer: Answer) -> None:
    """Insist on a 503 that says when to come again, and that it costs nothing."""
    assert (answer.status, answer.code) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert answer.json["error"].startswith("Nothing was accepted: ")


async def test_one_request_more_than_there_are_places_is_refused_at_once(home: House) -> None:
    """While those inside wait for a slow ledger the next hears 503; with room again all goes on."""
    gateway = await home.gateway(requests_max=2)
    home.ledger.looks_on.clear()
    inside = [asyncio.create_task(home.show(gateway, NOBODYS)) for _ in range(2)]

    async def all_are_inside() -> bool:
        return home.ledger.looking == 2

    await home.until(all_are_inside)
    check_refused(await home.post(gateway))
    check_refused(await home.show(gateway, NOBODYS))
    assert (await home.ask("GET", f"{gateway}/health")).status == 200, "who looks is answered"
    home.ledger.looks_on.set()
    assert [answer.status for answer in await asyncio.gather(*inside)] == [404, 404]
    assert (await home.post(gateway)).status == 202


async def test_a_lane_that_holds_too_much_takes_no_more(home: House, redis: Client) -> None:
    """Parked ones count too; what is refused is not on the lane; with room again it is taken."""
    gateway = await home.gateway(lane_waiting_max=3)
    assert [(await home.post(gateway)).status for _ in range(2)] == [202, 202]
    await redis.hset(COUNTERS, "waiting:LATCOM", 1)

    async def is_full() -> bool:
        before = await redis.xlen(PartitionKeys(0).requests("LATCOM"))
        answer = await home.post(gateway)
        if answer.status == 202:
            return False
        check_refused(answer)
        return bool(await redis.xlen(PartitionKeys(0).requests("LATCOM")) == before)

    await home.until(is_full)
    await redis.hset(COUNTERS, "waiting:LATCOM", 0)
    await redis.hset(COUNTERS, "queued:LATCOM", 0)

    async def has_room() -> bool:
        return (await home.post(gateway)).status == 202

    await home.until(has_room)


async def test_one_connection_more_than_may_be_is_told_so_and_closed(home: House) -> None:
    """Those that are there are served; one that ends makes room for another."""
    gateway = await home.gateway(connections_max=3)
    await home.session.close()  # it has kept one of them
    async with opened(gateway), opened(gateway):
        async with opened(gateway) as (reader, writer):
            writer.write(ASKS)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert await told(gateway, b"") == [b"HTTP/1.1 503"]

        async def is_served() -> bool:
            with suppress(ConnectionResetError):  # refused before it had said all
                return await told(gateway, WHOLE, half_closed=True) == [b"HTTP/1.1 202"]
            return False

        await home.until(is_served)


async def test_who_says_nothing_more_is_in_nobodys_way(home: House) -> None:
    """Hundreds of kept connections beside a merchant: his are accepted, and none is closed."""
    gateway = await home.gateway(connections_max=IDLE + 10)
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(opened(gateway)) for _ in range(IDLE)]
        for reader, writer in idle:
            writer.write(ASKS)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        for _ in range(5):
            assert (await home.post(gateway)).status == 202
        assert not any(reader.at_eof() for reader, _ in idle)
