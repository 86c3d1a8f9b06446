"""The life of one replica: settings, start, serve, drain; the same for all services."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar

import structlog
import uvloop

from shared.contracts.errors import InvalidSettings, TopupError
from shared.runtime import logs
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.descriptors import SPARE
from shared.runtime.instance import Instance, identify
from shared.runtime.passwords import with_password
from shared.runtime.replica import ReplicaSettings
from shared.runtime.settings import load
from shared.web.health import Health, instance_app
from shared.web.listener import Listener

log = structlog.get_logger()

LOOKERS_MAX: Final = 128
"""Connections of probes and scrapers; they find room where a flood has taken all of the other."""
assert LOOKERS_MAX < SPARE, "they are among what is spared"


class Service(Protocol):
    """What a service's `build` returns: opened once, closed once."""

    health: Health
    listeners: list[Listener]

    async def open(self) -> None:
        """Connect, load and start to work; returns when the replica can serve."""
        ...

    async def close(self) -> None:
        """Finish what is in flight and let go of everything."""
        ...


class DrainCutShort(TopupError):
    """What was in flight did not end within DRAIN_TIMEOUT; it stays pending for the others."""

    code = "drain_cut_short"


SettingsT = TypeVar("SettingsT", bound=ReplicaSettings)
Build = Callable[[SettingsT, Instance, Clock], Service]


def main(
    service: str, kind: type[SettingsT], build: Build[SettingsT], environ: Mapping[str, str]
) -> None:
    """Run one replica until SIGTERM; exits with 2 where the settings are wrong."""
    if not __debug__:
        sys.exit("python -O is refused: assertions guard money here")
    clock = SystemClock()
    instance = identify(service, environ, started=clock.monotonic())
    try:
        settings = with_password(load(kind, environ), service, environ)
        logs.configure(level=settings.log_level, instance_id=instance.id)
        uvloop.run(_live(settings, instance, build(settings, instance, clock)))
    except InvalidSettings as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(2)
    except TopupError as problem:
        log.error("replica_stopped", code=problem.code, problem=str(problem))  # noqa: TRY400 - the sentence says it all
        sys.exit(1)


async def _live(settings: ReplicaSettings, instance: Instance, service: Service) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    drain_s = settings.drain_timeout_ms / 1_000
    inside = Listener(
        instance_app(service.health),
        host=settings.host,
        port=settings.instance_port,
        drain_s=1.0,
        connections_max=LOOKERS_MAX,
    )
    await inside.open()
    opening = asyncio.create_task(service.open())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({opening, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if opening.done():
        opening.result()
        await _open_public(settings, service)
        gc.collect()
        gc.freeze()  # what start-up made lives as long as the process: never walk it again
        log.info("replica_started", service=instance.service, owner=instance.owner)
        await stopped
    opening.cancel()
    service.health.draining()
    log.info("replica_draining", service=instance.service)
    await asyncio.gather(*(listener.close() for listener in service.listeners))
    try:
        async with asyncio.timeout(drain_s):
            await service.close()
    except TimeoutError:
        raise DrainCutShort(f"not drained within {drain_s:g} s; others take over") from None
    await inside.close()
    log.info("replica_stopped", service=instance.service)


async def _open_public(settings: ReplicaSettings, service: Service) -> None:
    if settings.open_on_eof_fd is not None:
        service.health.started()
        await asyncio.to_thread(os.read, settings.open_on_eof_fd, 1)
    for listener in service.listeners:
        await listener.open()
    service.health.started()
