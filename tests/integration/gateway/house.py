"""Gateways and a ratelimiter in this process, on real sockets and a real Valkey."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar, Self

import aiohttp

from ops.ports import free_port
from services.gateway.app import build as build_gateway
from services.gateway.settings import GatewaySettings
from services.ratelimiter.app import build as build_ratelimiter
from services.ratelimiter.settings import RatelimiterSettings
from shared.runtime.clock import SystemClock
from shared.runtime.instance import identify
from shared.web.replica import Service
from tests.integration.gateway.described import Description
from tests.integration.gateway.ledger_stand import CUSTOMER, MERCHANT, SECRET, LedgerStand
from tests.rights import as_service

ADMIN_KEY = "admin-key-of-the-tests"
SESSION_KEY = "session-key-of-the-tests-32-signs"
WAIT_S_MAX = 10.0
PLAIN = {"phone": "5566374683", "amount": 10, "provider": "LATCOM"}


class SetForward(SystemClock):
    """The machine's clocks, set forward when a test says so."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return super().now_ms() + int(self.ahead_s * 1_000)

    def monotonic(self) -> float:
        """Seconds since some start."""
        return super().monotonic() + self.ahead_s


class Answer:
    """What came back."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """What the header Error-Code says."""
        return self.headers.get("Error-Code")


class House:
    """What the gateways live among; each part can be taken away.

    Each answer of a gateway to `session` must be one that /openapi.json describes.
    """

    description: ClassVar[Description | None] = None

    def __init__(self, redis_url: str, limits_url: str, ledger: LedgerStand) -> None:
        self.redis_url = redis_url
        self.limits_url = limits_url
        self._as_gateway = as_service(redis_url, "gateway")
        self._as_ratelimiter = as_service(limits_url, "ratelimiter")
        self.ledger = ledger
        self.clock = SetForward()
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), trace_configs=[self._looking_at_heads()]
        )
        self._gateways: set[str] = set()
        self.ratelimiter_port = free_port()
        self._open: dict[str, Service] = {}

    async def __aenter__(self) -> Self:
        """Start with a ratelimiter."""
        await self.start_ratelimiter()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop what still runs, gateways first."""
        await self.session.close()  # else they would wait a moment for what it may still ask
        gateways = [name for name in self._open if name != "ratelimiter"]
        await asyncio.gather(*(self.stop(name) for name in gateways))
        if "ratelimiter" in self._open:
            await self.stop("ratelimiter")

    async def start_ratelimiter(self) -> None:
        """Start the ratelimiter on its port."""
        settings = RatelimiterSettings(
            port=self.ratelimiter_port,
            instance_port=1,
            limiter_redis_url=self._as_ratelimiter,
            drain_timeout_ms=1_000,
        )
        instance = identify("ratelimiter", {}, started=0.0)
        await self._start("ratelimiter", build_ratelimiter(settings, instance, SystemClock()))

    async def gateway(self, name: str = "gateway-1", **changes: Any) -> str:
        """Start a gateway; return its address."""
        port = free_port()
        told: dict[str, Any] = {
            "port": port,
            "instance_port": 1,
            "redis_url": self._as_gateway,
            "ratelimiter_url": f"http://127.0.0.1:{self.ratelimiter_port}",
            "ledger_url": self.ledger.url,
            "admin_key": ADMIN_KEY,
            "session_key": SESSION_KEY,
            "drain_timeout_ms": 1_000,
        }
        settings = GatewaySettings(**(told | changes))
        instance = identify("gateway", {"INSTANCE_ID": name}, started=self.clock.monotonic())
        await self._start(name, build_gateway(settings, instance, self.clock))
        url = f"http://127.0.0.1:{port}"
        await self._read_description(url)
        self._gateways.add(url)
        return url

    async def _read_description(self, url: str) -> None:
        """Read what a gateway says of its API; all say the same."""
        if House.description is None:
            async with self.session.get(f"{url}/openapi.json") as answer:
                House.description = Description(await answer.json())
        self._described = House.description

    def _looking_at_heads(self) -> aiohttp.TraceConfig:
        """Hold each answer's status and headers against the description, also of a stream."""

        async def look(_: Any, __: Any, ended: aiohttp.TraceRequestEndParams) -> None:
            answer = ended.response
            if str(answer.url.origin()) in self._gateways:
                path = answer.url.raw_path
                self._described.check_head(ended.method, path, answer.status, answer.headers)

        config = aiohttp.TraceConfig()
        config.on_request_end.append(look)
        return config

    async def stop(self, name: str) -> None:
        """Drain one of them."""
        service = self._open.pop(name)
        service.health.draining()
        for listener in service.listeners:
            await listener.close()
        await service.close()

    async def _start(self, name: str, service: Service) -> None:
        await service.open()
        for listener in service.listeners:
            await listener.open()
        service.health.started()
        self._open[name] = service

    async def ask(self, method: str, url: str, **how: Any) -> Answer:
        """Send one request."""
        async with self.session.request(method, url, **how) as response:
            body = await response.read()
        if str(response.url.origin()) in self._gateways:
            path = response.url.raw_path
            self._described.check(method, path, response.status, response.headers, body)
        return Answer(response, body)

    async def post(
        self, gateway: str, body: Any = None, *, key: str | None = None, **headers: str | None
    ) -> Answer:
        """Make a topup as a merchant does; a header given as None is left out."""
        said = {"x-api-key": SECRET, "x-customer-id": CUSTOMER, "Idempotency-Key": key}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask(
            "POST",
            f"{gateway}/api/{MERCHANT}/topup",
            json=PLAIN if body is None else body,
            headers={name: value for name, value in said.items() if value is not None},
        )

    async def show(self, gateway: str, topup_id: str, secret: str = SECRET) -> Answer:
        """Ask for a topup as a merchant does."""
        url = f"{gateway}/api/{MERCHANT}/topups/{topup_id}"
        return await self.ask("GET", url, headers={"x-api-key": secret})

    async def until(self, seen: Callable[[], Awaitable[bool]]) -> None:
        """Ask again and again until it is so."""
        async with asyncio.timeout(WAIT_S_MAX):
            while not await seen():  # noqa: ASYNC110 - what is waited for has no event here
                await asyncio.sleep(0.02)

    async def admin(self, gateway: str, path: str) -> Answer:
        """Ask as an admin does."""
        url = f"{gateway}/api/admin/{path}"
        return await self.ask("GET", url, headers={"x-admin-key": ADMIN_KEY})


@asynccontextmanager
async def house(redis_url: str, limits_url: str) -> AsyncIterator[House]:
    """A ledger's stand and a ratelimiter; gateways are started by the test."""
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(LedgerStand())
        yield await stack.enter_async_context(House(redis_url, limits_url, ledger))
