"""A ledger whose reads were answered by the server, and not heard by it."""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import pytest

from services.ledger.worker import LOST_MS
from shared.contracts.streams import LEDGER_GROUP
from shared.runtime.redis import Client
from tests.chaos.links import Address, Link, Weather
from tests.integration.ledger.entries import request_fields
from tests.integration.ledger.test_service import LANE, WAIT_S_MAX, Process, booked

pytestmark = pytest.mark.integration
TRIES_MAX = 5
READ_S = 2.0
assert WAIT_S_MAX * 1_000 < LOST_MS, "else the slow sweep would do what this test is about"


async def until(look: Callable[[], bool]) -> None:
    """Look again and again until it is true."""
    async with asyncio.timeout(WAIT_S_MAX):
        while not await asyncio.to_thread(look):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.02)


async def becomes_pending(redis: Client) -> bool:
    """Tell whether a read took the entry, unheard; one that had just ended could not."""
    try:
        async with asyncio.timeout(READ_S):
            while not (await redis.xpending(LANE, LEDGER_GROUP))["pending"]:  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.01)
    except TimeoutError:
        return False
    return True


async def test_what_a_lost_answer_delivered_is_booked_at_once(
    redis: Client, redis_url: str, service_url: str
) -> None:
    """It is pending under the ledger's own name: nobody else takes it while it lives."""
    parts = urlsplit(redis_url)

    async def valkey() -> Address:
        return parts.hostname or "", parts.port or 0

    link = Link("ledger-valkey", valkey)
    await link.open()
    user, at, _ = parts.netloc.rpartition("@")
    through = urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{link.port}"))
    ledger = Process(through, service_url)
    try:
        await until(ledger.ready)
        for number in range(1, TRIES_MAX + 1):
            link.suffer(Weather.ANSWER_LOST, one_in=1)
            await redis.xadd(LANE, request_fields(number))
            lost = await becomes_pending(redis)
            link.heal()
            await until(lambda wanted=number * ["queued"]: booked(service_url) == wanted)  # type: ignore[misc]
            if lost:
                return
        pytest.fail("no entry was ever delivered unheard")
    finally:
        await asyncio.to_thread(ledger.end)
        await link.close()
