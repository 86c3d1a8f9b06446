"""Two providers behind real sandboxes: what befalls one costs the other's lane nothing."""

import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import pytest
from msgspec.structs import replace
from uuid_utils import uuid7

from services.dispatcher import app
from services.dispatcher.providers.adapter import Facts
from services.dispatcher.providers.latcom import Latcom, LatcomSettings
from services.dispatcher.settings import DispatcherSettings
from shared.bus.lanes import Lanes as BusLanes
from shared.bus.messages import Acceptance
from shared.bus.records import LaneState, Record
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.contracts.events import TopupRequested, encode
from shared.contracts.streams import DISPATCHER_GROUP
from shared.runtime.clock import SystemClock
from shared.runtime.instance import identify
from shared.runtime.redis import Client
from tests.contract.providers.sandboxes import ACCESS, Sandbox, sandbox
from tests.integration.bus.bench import until
from tests.rights import as_service

pytestmark = pytest.mark.integration

FINE: Final = "LATCOM"
ILL: Final = "OTHER"
SLOTS: Final = 4
BREAKER: Final = 3


class Named(Latcom):
    """The same wire under another name."""

    @property
    def facts(self) -> Facts:
        """LATCOM's, but for the name."""
        return replace(self._facts, name=ILL)


def access(url: str) -> LatcomSettings:
    """Return what an adapter needs; it waits for an answer for longer than a test lasts."""
    named = {
        name.removeprefix("LATCOM_").lower(): value
        for name, value in ACCESS.items()
        if name.startswith("LATCOM_")
    }
    return msgspec.convert({"url": url, "timeout_ms": 60_000, **named}, LatcomSettings)


@pytest.fixture
def sandboxes() -> Iterator[tuple[Sandbox, Sandbox]]:
    """The provider that is fine, and the other one."""
    with sandbox() as fine, sandbox() as ill:
        yield fine, ill


class Lanes:
    """One dispatcher with both lanes, and who puts topups on them."""

    def __init__(self, redis: Client) -> None:
        self.client = redis
        self.topups = Topups(redis, partitions=1, window_ms=60_000)

    async def accept(self, provider: str, count: int, *, deliver_before_ms: int = 600_000) -> None:
        """Put so many topups on a lane."""
        items = [_acceptance(provider) for _ in range(count)]
        await self.topups.accept(0, provider, items, deliver_before_ms=deliver_before_ms)

    async def count(self, provider: str, state: str) -> int:
        """Return how many topups of the lane are in this state."""
        return (await self.topups.counters(0)).get(f"{state}:{provider}", 0)

    async def until(self, provider: str, **counts: int) -> None:
        """Wait until so many of the lane are in these states."""

        async def so_many() -> bool:
            counters = await self.topups.counters(0)
            return all(counters.get(f"{s}:{provider}", 0) == n for s, n in counts.items())

        await until(so_many)

    async def state(self, provider: str) -> LaneState:
        """Return the lane's state."""
        return (await self.topups.lanes(0)).get(provider, LaneState())

    async def until_held(self, provider: str) -> None:
        """Wait until the lane is held."""

        async def held() -> bool:
            return (await self.state(provider)).state == "held"

        await until(held)

    async def taken(self, provider: str) -> int:
        """Return how many entries of the lane are in the dispatcher's hands."""
        stream = self.topups.keys[0].requests(provider)
        return int((await self.client.xpending(stream, DISPATCHER_GROUP))["pending"])


def _acceptance(provider: str) -> Acceptance:
    body = TopupRequested(
        customer_id="C", phone="+525512345678", country="MX", amount_minor=1_000,
        currency="MXN", provider=provider, product="XOOM_10_MXN",
    )  # fmt: skip
    return Acceptance(id=str(uuid7()), fingerprint="print", key_hash="", body=encode(body))


@asynccontextmanager
async def dispatcher(
    monkeypatch: pytest.MonkeyPatch, redis_url: str, sandboxes: Sequence[Sandbox]
) -> AsyncIterator[None]:
    """Run a dispatcher for both."""
    fine, ill = sandboxes
    made = {FINE: Latcom(access(fine.url)), ILL: Named(access(ill.url))}
    monkeypatch.setattr(app, "providers", lambda _settings: made)
    settings = DispatcherSettings(
        instance_port=1, redis_url=as_service(redis_url, "dispatcher"), queue_concurrency=SLOTS,
        stall_ms=60_000,
        breaker_failures=BREAKER, breaker_hold_ms=500, latcom_url=fine.url,
        latcom_username="x", latcom_password="x", latcom_dist_api="x", latcom_user_uid="x",
    )  # fmt: skip
    instance = identify("dispatcher", {"INSTANCE_ID": "dispatcher-1"}, started=0.0)
    running = app.build(settings, instance, SystemClock())
    await running.open()
    try:
        yield
    finally:
        await running.close()


async def test_a_hung_provider_stops_its_own_lane_alone(
    monkeypatch: pytest.MonkeyPatch,
    redis: Client,
    redis_url: str,
    sandboxes: tuple[Sandbox, Sandbox],
) -> None:
    """The other is served as if nothing were; what hung is held, tried by one, and goes on."""
    fine, ill = sandboxes
    lanes = Lanes(redis)
    async with dispatcher(monkeypatch, redis_url, sandboxes):
        await lanes.accept(ILL, 1)
        await lanes.until(ILL, succeeded=1)  # logged in, with a connection
        ill.process.send_signal(signal.SIGSTOP)
        await lanes.accept(ILL, 20)
        await lanes.until(ILL, active=SLOTS)
        await lanes.accept(FINE, 40)
        await lanes.until(FINE, succeeded=40)
        assert await lanes.count(ILL, "active") == SLOTS
        assert await lanes.taken(ILL) == SLOTS, "what has no slot stays on the lane"

        ill.kill()
        await lanes.until_held(ILL)
        await lanes.accept(FINE, 40)
        await lanes.until(FINE, succeeded=80)
        assert (await lanes.state(FINE)).state == "open"
        with sandbox(ill.port) as again:
            await lanes.until(ILL, queued=0, active=0, waiting=0)
            assert await lanes.count(ILL, "unresolved") == SLOTS, "nobody knows what it paid"
            assert again.book()["paid"] == 20 - SLOTS
        assert (await lanes.state(ILL)).state == "open"
    assert fine.book()["paid"] == 80


async def test_a_lane_that_people_hold_stops_nothing_but_itself(
    monkeypatch: pytest.MonkeyPatch,
    redis: Client,
    redis_url: str,
    sandboxes: tuple[Sandbox, Sandbox],
) -> None:
    """However much waits behind it; it stays in the stream, expires there, or goes on later."""
    fine, ill = sandboxes
    lanes = Lanes(redis)
    async with dispatcher(monkeypatch, redis_url, sandboxes):
        await BusLanes(redis, lanes.topups).hold(ILL, act=act_by("ana", why="strike"))
        await lanes.accept(ILL, 200, deliver_before_ms=1)
        await lanes.accept(ILL, 20)
        await lanes.accept(FINE, 40)
        await lanes.until(FINE, succeeded=40)
        await lanes.until(ILL, failed=200, queued=20)
        assert await lanes.taken(ILL) <= SLOTS, "at most what was read as it was held"
        assert ill.book()["paid"] == 0
        await BusLanes(redis, lanes.topups).release(ILL, act=act_by("ana", why=""))
        await lanes.until(ILL, succeeded=20)
    assert (ill.book()["paid"], fine.book()["paid"]) == (20, 40)
    names = lanes.topups.keys[0]
    (entry, *_) = await redis.xrange(names.requests(ILL))
    (record,) = await lanes.topups.look(0, [entry[1][b"id"].decode()])
    assert isinstance(record, Record)
    assert (record.state, record.reason) == ("failed", "expired")
