"""Joins the parts of a gateway; opens nothing until it is told to."""

import asyncio
from functools import partial
from typing import Final

import structlog
from redis.exceptions import RedisError
from uuid_utils import uuid7

from services.gateway.admin.api import Admin
from services.gateway.admin.dead import DeadRoutes
from services.gateway.admin.figures import Figures
from services.gateway.admin.lanes import LaneRoutes
from services.gateway.admin.operators import Operators
from services.gateway.admin.statements import StatementRoutes
from services.gateway.admin.stories import Stories, StoryRoutes
from services.gateway.admin.unresolved import UnresolvedRoutes
from services.gateway.answers import ServedBehind
from services.gateway.bus import Bus
from services.gateway.docs import docs_calls
from services.gateway.door import Door
from services.gateway.keys import Keyring
from services.gateway.limits import Limits
from services.gateway.merchant.backlog import Backlog
from services.gateway.merchant.lists import ListRoutes
from services.gateway.merchant.routing import Routing
from services.gateway.merchant.topups import TopupRoutes
from services.gateway.merchant.waiting import Waiting
from services.gateway.page.assets import Assets
from services.gateway.page.events import Events
from services.gateway.page.looking import Looking
from services.gateway.page.signing_in import SigningIn
from services.gateway.page.viewers import Viewers
from services.gateway.peers import Ledger, PeerSilent
from services.gateway.ratelimiter import Ratelimiter
from services.gateway.rest import health_call, rest_app
from services.gateway.room import Room
from services.gateway.sessions import Sessions
from services.gateway.settings import GatewaySettings
from services.gateway.uses import Uses
from shared.bus.beats import Heart
from shared.bus.topups import Topups
from shared.contracts.catalogue import OFFERS
from shared.runtime.background import end
from shared.runtime.clock import Clock
from shared.runtime.crashpoints import crash_points
from shared.runtime.instance import Instance
from shared.runtime.redis import connect
from shared.runtime.waiting import REDIS_PASSING, until_done
from shared.web.checks import database_check, queue_check, redis_check
from shared.web.health import Condition, Health
from shared.web.listener import Listener

LINGER_S: Final = 2.0
PASSING: Final = (*REDIS_PASSING, PeerSilent)

log = structlog.get_logger()


class Gateway:
    """One replica: the public listener, the keys, the limits, and its heart."""

    def __init__(self, settings: GatewaySettings, instance: Instance, clock: Clock) -> None:
        self._client = connect(settings.redis_url, reads_max=settings.stream_partitions + 1)
        self._ratelimiter = Ratelimiter(settings.ratelimiter_url)
        self._ledger = Ledger(settings.ledger_url)
        self._topups = Topups(
            self._client,
            partitions=settings.stream_partitions,
            window_ms=settings.idempotency_window_ms,
            replicas=settings.redis_replicas,
        )
        self._keyring = Keyring(
            self._ledger, self._client, clock, stale_ms=settings.key_stale_max_ms
        )
        self._uses = Uses(self._keyring, self._ledger, clock)
        self._limits = Limits(self._ratelimiter, clock, gateway=instance.id)
        self._heart = Heart(
            self._client,
            instance,
            clock,
            partitions=settings.stream_partitions,
            interval_ms=settings.heartbeat_ms,
        )
        self._backlog = Backlog(
            self._topups,
            waiting_max=settings.lane_waiting_max,
            gateways=lambda: self._limits.gateways,
        )
        self._waiting = Waiting(self._client, partitions=settings.stream_partitions)
        self._figures = Figures(self._client, self._topups, self._ledger, clock)
        self._viewers = Viewers(
            partial(Looking, self._client, self._topups, self._figures, clock, gateway=instance.id)
        )
        self._background: list[asyncio.Task[None]] = []
        self.health = self._health(instance, clock)
        self.door = self._door(settings, clock)
        self.listeners = [self._listener(settings)]

    async def open(self) -> None:
        """Get what a gateway cannot do without: streams, keys, and how many gateways there are."""
        for provider in OFFERS:
            await until_done("streams_not_ready", partial(self._topups.prepare, provider))
        await until_done("keys_not_loaded", self._keyring.renew, passing=PASSING)
        await until_done("ratelimiter_not_heard", self._limits.hear, passing=PASSING)
        self._background = [
            asyncio.create_task(work)
            for work in (
                self._keyring.follow(),
                self._keyring.keep_renewed(),
                self._uses.keep_reported(),
                self._limits.keep_heard(),
                self._backlog.keep_counted(),
                self._heart.run(),
            )
        ]

    async def close(self) -> None:
        """Let go of everything; the listener has answered its last request already."""
        await self._waiting.close()
        await self._viewers.close()
        await end(self._background)
        if self._background:
            try:
                await self._heart.stop()
            except (RedisError, OSError) as error:
                log.warning("leave_not_told", problem=str(error))
            await self._uses.report()
        await self._ratelimiter.close()
        await self._ledger.close()
        await self._client.aclose()

    def _listener(self, settings: GatewaySettings) -> Listener:
        return Listener(
            self.door,
            host=settings.host,
            port=settings.port,
            drain_s=settings.drain_timeout_ms / 1_000,
            linger_s=LINGER_S,
            connections_max=settings.connections_max,
        )

    def _health(self, instance: Instance, clock: Clock) -> Health:
        return Health(
            instance,
            clock,
            checks={
                "redis": redis_check(self._client, self._topups),
                "database": database_check(self._client, clock),
                "queue": queue_check(self._topups),
                "ratelimiter": self._limits.check,
                "keys": self._check_keys,
            },
            essential=frozenset({"redis", "keys"}),
            on_draining=self._let_go,
        )

    def _let_go(self) -> None:
        """Answer all who wait or watch: nobody of them may hold up the drain."""
        self._waiting.let_go()
        self._viewers.let_go()

    def _door(self, settings: GatewaySettings, clock: Clock) -> Door:
        bus = Bus(
            self._topups,
            clock,
            partitions=settings.stream_partitions,
            deliver_before_ms=settings.deliver_before_ms,
        )
        room = Room(settings.requests_max)
        topups = TopupRoutes(
            keyring=self._keyring,
            limits=self._limits,
            backlog=self._backlog,
            routing=Routing(
                settings.providers.split(","), backlog=self._backlog, bus=bus, clock=clock
            ),
            bus=bus,
            ledger=self._ledger,
            waiting=self._waiting,
            room=room,
            clock=clock,
            make_id=lambda: str(uuid7()),
            crash=crash_points(settings.crash_at, environment=settings.environment),
            limit_default=settings.rate_limit_per_minute,
        )
        lists = ListRoutes(keyring=self._keyring, ledger=self._ledger, room=room, clock=clock)
        served = [*topups.served(), *lists.served()]
        behind = self._behind(settings, clock)
        pages = docs_calls([*(one.call for one in served), *(one.call for one in behind)])
        return Door(served, rest_app([*behind, *pages]), clock)

    def _behind(self, settings: GatewaySettings, clock: Clock) -> list[ServedBehind]:
        """Return the calls that are not hot."""
        key = settings.session_key
        operators = Operators(
            self._keyring,
            admin_key=settings.admin_key,
            sessions=None if key is None else Sessions(key, clock),
        )
        admin = Admin(self._figures, self._ledger, operators)
        lanes = LaneRoutes(self._client, self._topups, clock, admit=operators.admit)
        dead = DeadRoutes(
            self._client,
            self._topups,
            self._ledger,
            admit=operators.admit,
            deliver_before_ms=settings.deliver_before_ms,
        )
        stories = Stories(self._client, self._topups, self._ledger, clock)
        told = StoryRoutes(stories, admit=operators.admit)
        unresolved = UnresolvedRoutes(
            self._client,
            self._topups,
            self._ledger,
            admit=operators.admit,
            alone=settings.resolve_alone,
        )
        live = Events(self._viewers, admit=operators.admit)
        signing_in = SigningIn(operators, alone=settings.resolve_alone)
        statements = StatementRoutes(self._ledger, admit=operators.admit)
        page = (live, signing_in, Assets(operators))
        parts = (admin, lanes, dead, told, unresolved, statements, *page)
        return [*(one for part in parts for one in part.served()), health_call(self.health)]

    async def _check_keys(self) -> Condition:
        age_s = self._keyring.age_s
        return Condition(
            connected=not self._keyring.is_stale,
            status="unhealthy" if self._keyring.is_stale else "healthy",
            details={"age": None if age_s is None else round(age_s, 1)},
        )


def build(settings: GatewaySettings, instance: Instance, clock: Clock) -> Gateway:
    """Return a gateway ready to be opened."""
    return Gateway(settings, instance, clock)
