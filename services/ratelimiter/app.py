"""Joins the parts of a ratelimiter; opens nothing until it is told to."""

from services.ratelimiter.http import CheckApp
from services.ratelimiter.settings import RatelimiterSettings
from services.ratelimiter.store import Windows
from shared.runtime.clock import Clock
from shared.runtime.instance import Instance
from shared.runtime.redis import connect
from shared.runtime.waiting import until_done
from shared.web.checks import writes_check
from shared.web.health import Health
from shared.web.listener import Listener


class Ratelimiter:
    """One replica; any number of them on the same Redis are one limit."""

    def __init__(self, settings: RatelimiterSettings, instance: Instance, clock: Clock) -> None:
        self._client = connect(settings.windows_url)
        self._named = "LIMITER_REDIS_URL" if settings.limiter_redis_url else "REDIS_URL"
        app = CheckApp(Windows(self._client), clock)
        drain_s = settings.drain_timeout_ms / 1_000
        self.listeners = [Listener(app, host=settings.host, port=settings.port, drain_s=drain_s)]
        self.health = Health(
            instance,
            clock,
            checks={"redis": writes_check(self._client)},
            essential=frozenset({"redis"}),
        )

    async def open(self) -> None:
        """Wait until Redis answers and can run the script."""
        await until_done("redis_not_reached", self._client.ping, said=self._said)

    async def close(self) -> None:
        """Let go of Redis; the listener has answered its last check already."""
        await self._client.aclose()

    def _said(self, problem: Exception) -> str:
        return f"{str(problem) or type(problem).__name__}; start it, or correct {self._named}"


def build(settings: RatelimiterSettings, instance: Instance, clock: Clock) -> Ratelimiter:
    """Return a ratelimiter ready to be opened."""
    return Ratelimiter(settings, instance, clock)
