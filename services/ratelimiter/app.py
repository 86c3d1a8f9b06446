"""Joins the parts of a ratelimiter; opens nothing until it is told to."""

from services.ratelimiter.http import CheckApp
from services.ratelimiter.settings import RatelimiterSettings
from services.ratelimiter.store import Windows
from shared.runtime.clock import Clock
from shared.runtime.instance import Instance
from shared.runtime.redis import connect
from shared.runtime.waiting import until_done
from shared.web.health import Condition, Health
from shared.web.listener import Listener


class Ratelimiter:
    """One replica; any number of them on the same Redis are one limit."""

    def __init__(self, settings: RatelimiterSettings, instance: Instance, clock: Clock) -> None:
        self._client = connect(settings.windows_url)
        app = CheckApp(Windows(self._client), clock)
        drain_s = settings.drain_timeout_ms / 1_000
        self.listeners = [Listener(app, host=settings.host, port=settings.port, drain_s=drain_s)]
        self.health = Health(
            instance, clock, checks={"redis": self._check}, essential=frozenset({"redis"})
        )

    async def open(self) -> None:
        """Wait until Redis answers and can run the script."""
        await until_done("redis_not_reached", self._client.ping)

    async def close(self) -> None:
        """Let go of Redis; the listener has answered its last check already."""
        await self._client.aclose()

    async def _check(self) -> Condition:
        await self._client.ping()
        return Condition(connected=True, status="healthy")


def build(settings: RatelimiterSettings, instance: Instance, clock: Clock) -> Ratelimiter:
    """Return a ratelimiter ready to be opened."""
    return Ratelimiter(settings, instance, clock)
