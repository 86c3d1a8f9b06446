"""The ratelimiter as gateways meet it: over HTTP, on a real Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from ops.embedded import Running
from ops.ports import free_port
from services.ratelimiter.app import build
from services.ratelimiter.settings import RatelimiterSettings
from shared.contracts.peers import LimitCheck, LimitReply, LimitRequest
from shared.runtime.clock import SystemClock
from shared.runtime.instance import identify
from tests.rights import as_service

pytestmark = pytest.mark.integration


@asynccontextmanager
async def ratelimiter(redis_url: str) -> AsyncIterator[str]:
    """Run one; yield its address."""
    port = free_port()
    settings = RatelimiterSettings(
        port=port,
        instance_port=1,
        limiter_redis_url=as_service(redis_url, "ratelimiter"),
        drain_timeout_ms=1_000,
    )
    service = build(settings, identify("ratelimiter", {}, started=0.0), SystemClock())
    await service.open()
    for listener in service.listeners:
        await listener.open()
    yield f"http://127.0.0.1:{port}"
    for listener in service.listeners:
        await listener.close()
    await service.close()


@pytest.fixture
async def url(redis_url: str) -> AsyncIterator[str]:
    """A ratelimiter on an empty Valkey."""
    async with ratelimiter(redis_url) as address:
        yield address


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client."""
    async with aiohttp.ClientSession() as client:
        yield client


async def check(
    session: aiohttp.ClientSession, url: str, *checks: tuple[str, int], gateway: str = "g1"
) -> LimitReply:
    """Ask as a gateway does."""
    body = msgspec.json.encode(LimitRequest(gateway, [LimitCheck(*one) for one in checks]))
    async with session.post(f"{url}/check", data=body) as response:
        assert response.status == 200
        return msgspec.json.decode(await response.read(), type=LimitReply)


async def test_a_batch_gets_its_verdicts_in_order(url: str, session: aiohttp.ClientSession) -> None:
    """And the gateways that were heard are counted."""
    reply = await check(session, url, ("A", 1), ("B", 2), ("A", 1))
    assert [verdict.allowed for verdict in reply.verdicts] == [True, True, False]
    assert (await check(session, url, gateway="g2")).gateways == 2


async def test_what_is_not_a_batch_is_refused(url: str, session: aiohttp.ClientSession) -> None:
    """Each in its own words; the connection goes on."""
    cases = [("POST", "/check", b"{}", 400), ("GET", "/check", b"", 405), ("POST", "/x", b"", 404)]
    for method, path, body, status in cases:
        async with session.request(method, url + path, data=body) as response:
            assert response.status == status
            assert (await response.json())["success"] is False
    async with session.post(f"{url}/check", data=b"x" * 200_000) as response:
        assert response.status == 413


async def test_without_redis_it_says_so_and_comes_back(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """503 makes gateways fall back; no restart is needed afterwards."""
    server = Running.valkey(tmp_path / "limits", volatile=True)
    async with ratelimiter(server.url) as url:
        await check(session, url, ("A", 1))
        server.kill()
        async with session.post(f"{url}/check", data=b'{"gateway":"g","checks":[]}') as response:
            assert response.status == 503
        server.revive()
        reply = await check(session, url, ("A", 1))
        assert reply.verdicts[0].allowed  # the windows are volatile, by design
    server.stop()
