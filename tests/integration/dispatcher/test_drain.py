"""A dispatcher that drains waits for what it has sent, and for no question."""

import asyncio

import pytest

from services.dispatcher.app import Dispatcher
from services.dispatcher.settings import DispatcherSettings
from shared.bus.limbo import Schedule
from shared.contracts.states import State
from shared.runtime.clock import SystemClock
from shared.runtime.instance import identify
from shared.runtime.redis import Client
from shared.runtime.settings import load
from tests.integration.bus.bench import LANE, Bench

pytestmark = pytest.mark.integration

ENOUGH_S = 30.0


async def test_a_drain_leaves_a_question_that_the_provider_does_not_answer(
    redis: Client, redis_url: str
) -> None:
    """It would take five minutes; its turn comes again at another dispatcher."""
    asked = asyncio.Event()

    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        writer.close()

    provider = await asyncio.start_server(be_silent, "127.0.0.1", 0)
    port = provider.sockets[0].getsockname()[1]
    environ = {
        "REDIS_URL": redis_url,
        "INSTANCE_PORT": "1",
        "LATCOM_URL": f"http://127.0.0.1:{port}",
        "LATCOM_USERNAME": "u",
        "LATCOM_PASSWORD": "p",
        "LATCOM_DIST_API": "d",
        "LATCOM_USER_UID": "u",
        "LATCOM_TIMEOUT": "5m",
        "SANDBOX_INQUIRY": "on",
        "STALL": "60s",
    }
    bench = Bench(redis)
    await bench.topups.prepare(LANE)
    await bench.start("t1")
    await bench.finish("t1", "n1", State.UNRESOLVED)
    await Schedule(redis, bench.topups).add(0, LANE, ["t1"], now_ms=0)
    instance = identify("dispatcher", {}, started=0.0)
    dispatcher = Dispatcher(load(DispatcherSettings, environ), instance, SystemClock())
    await dispatcher.open()
    async with asyncio.timeout(ENOUGH_S):
        await asked.wait()
        await dispatcher.close()
    assert all(task.done() for task in dispatcher._asked)
    assert await bench.state("t1") == "unresolved"
    provider.close()
