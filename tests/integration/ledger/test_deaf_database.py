"""A database that is gone without a word: connections stay open and carry nothing any more."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import pytest

from shared.runtime.redis import Client
from tests.chaos.links import Address, Link, Weather
from tests.integration.ledger.entries import request_fields
from tests.integration.ledger.test_service import LANE, Process, booked

pytestmark = [pytest.mark.integration, pytest.mark.long]
WAIT_S_MAX = 120.0


async def test_a_ledger_leaves_connections_on_which_nothing_comes_back(
    redis: Client, redis_url: str, service_url: str
) -> None:
    """No error tells it, and its heart beats on: nobody would ever take its work over."""
    parts = urlsplit(service_url)

    async def postgres() -> Address:
        return parts.hostname or "", parts.port or 0

    link = Link("ledger-postgres", postgres)
    await link.open()
    user, at, _ = parts.netloc.rpartition("@")
    through = urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{link.port}"))
    ledger = Process(redis_url, through)
    try:
        async with asyncio.timeout(WAIT_S_MAX):
            while not await asyncio.to_thread(ledger.ready):  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.05)
            link.suffer(Weather.HALF_OPEN, one_in=1)
            link.heal()  # for those who come anew
            await redis.xadd(LANE, request_fields(1))
            while await asyncio.to_thread(booked, service_url) != ["queued"]:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.2)
    finally:
        await asyncio.to_thread(ledger.end)
        await link.close()
