"""What a replica says of itself: `/health`, `/livez`, `/readyz` and `/metrics`."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.contracts.limits import CHECK_TIMEOUT_MS
from shared.runtime.clock import Clock
from shared.runtime.instance import Instance, memory_megabytes, product_version
from shared.runtime.metrics import BUILD, DEPENDENCY_UP, READY

Status = Literal["healthy", "degraded", "unhealthy"]
RANK: Final[Mapping[Status, int]] = {"healthy": 0, "degraded": 1, "unhealthy": 2}


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How one dependency is; `details` stand beside it in the answer."""

    connected: bool
    status: Status
    details: Mapping[str, Any] = {}


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """The process that answers."""

    id: str
    memory: Annotated[str, msgspec.Meta(examples=["64MB"])]
    pid: int


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one replica is, and each part that it needs; a part may tell more of itself."""

    status: Status
    service: str
    version: str
    uptime: Annotated[float, msgspec.Meta(description="Seconds since the start.")]
    instance: Process
    services: dict[str, dict[str, Any]]


Check = Callable[[], Awaitable[Condition]]
"""Asks one dependency; may raise or take its time, also to be cancelled: it is not connected."""


class Health:
    """One replica's health: its checks, whether it has started, and whether it is draining.

    A check named in `essential` makes the replica unhealthy when it cannot be reached, any other
    one degraded. `on_draining` is called when the replica begins to drain.
    """

    def __init__(
        self,
        instance: Instance,
        clock: Clock,
        *,
        checks: Mapping[str, Check],
        essential: frozenset[str] = frozenset(),
        on_draining: Callable[[], None] = lambda: None,
    ) -> None:
        self._instance = instance
        self._clock = clock
        self._checks = checks
        self._essential = essential
        self._on_draining = on_draining
        self._asking: dict[str, asyncio.Task[Condition | None]] = {}
        self._started = False
        self._draining = False
        BUILD.info({"version": product_version(), "service": instance.service})
        READY.labels(instance.service).set(0)

    def started(self) -> None:
        """Say that the replica has what it needs to serve."""
        self._started = True
        READY.labels(self._instance.service).set(1)

    def draining(self) -> None:
        """Say that no new work should come here."""
        self._draining = True
        READY.labels(self._instance.service).set(0)
        self._on_draining()

    async def report(self) -> tuple[int, HealthReport]:
        """Return the HTTP status and the body of `/health`."""
        names = list(self._checks)
        conditions = await asyncio.gather(*(self._ask(name) for name in names))
        worst: Status = "healthy" if self._started and not self._draining else "unhealthy"
        for condition in conditions:
            worst = max(worst, condition.status, key=RANK.__getitem__)
        report = HealthReport(
            status=worst,
            service=self._instance.service,
            version=product_version(),
            uptime=round(self._clock.monotonic() - self._instance.started, 1),
            instance=Process(
                id=self._instance.id, memory=f"{memory_megabytes()}MB", pid=os.getpid()
            ),
            services={
                name: {
                    "connected": condition.connected,
                    "status": condition.status,
                    **condition.details,
                }
                for name, condition in zip(names, conditions, strict=True)
            },
        )
        return (503 if worst == "unhealthy" else 200), report

    async def _ask(self, name: str) -> Condition:
        asking = self._asking.get(name)
        if asking is None or asking.done():
            asking = self._asking[name] = asyncio.create_task(self._outcome(name))
        await asyncio.wait({asking}, timeout=CHECK_TIMEOUT_MS / 1_000)
        condition = asking.result() if asking.done() and not asking.cancelled() else None
        if condition is None:
            if not asking.cancelling():
                asking.cancel()  # it may take seconds to end; nobody waits for that
            worst: Status = "unhealthy" if name in self._essential else "degraded"
            condition = Condition(connected=False, status=worst)
        DEPENDENCY_UP.labels(name).set(condition.status == "healthy")
        return condition

    async def _outcome(self, name: str) -> Condition | None:
        try:
            return await self._checks[name]()
        except Exception:  # noqa: BLE001 - whatever a check raises, the dependency did not answer
            return None


def instance_app(health: Health) -> Starlette:
    """Return the app of the instance listener."""

    async def show(_request: Request) -> Response:
        return await health_response(health)

    async def ready(_request: Request) -> Response:
        status, report = await health.report()
        return _json(status, {"ready": status == 200, "status": report.status})  # noqa: PLR2004 - HTTP OK

    async def live(_request: Request) -> Response:
        return _json(200, {"live": True})

    async def metrics(request: Request) -> Response:
        await health.report()  # so that what a dependency is like is told as it is now
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), headers={"content-type": content_type})

    return Starlette(
        routes=[
            Route("/health", show),
            Route("/livez", live),
            Route("/readyz", ready),
            Route("/metrics", metrics),
        ]
    )


async def health_response(health: Health) -> Response:
    """Answer `/health`, on whichever listener."""
    return _json(*await health.report())


def _json(status: int, body: Any) -> Response:  # noqa: ANN401 - any JSON
    return Response(msgspec.json.encode(body), status, media_type="application/json")
