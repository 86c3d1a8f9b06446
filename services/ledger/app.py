"""Joins the parts of a ledger; opens nothing until it is told to."""

import asyncio
from typing import Any, Final

import psycopg
import structlog
from starlette.applications import Starlette

from services.ledger.books import Books
from services.ledger.chain import Chain
from services.ledger.changes import Changes
from services.ledger.database import Database, said
from services.ledger.dossier import Dossiers
from services.ledger.evidence import Signer
from services.ledger.gauges import Gauges
from services.ledger.http import query_app
from services.ledger.keys import Keys
from services.ledger.lists import Lists
from services.ledger.migrations import applied, missing, shipped
from services.ledger.overtaken import Overtaken
from services.ledger.proposals import Proposals
from services.ledger.questions import Questions
from services.ledger.settings import LedgerSettings
from services.ledger.statements.sent import Statements
from services.ledger.store import Past
from services.ledger.upkeep import Upkeep
from services.ledger.watch import Watch
from services.ledger.worker import Bookkeeper
from shared.bus.beats import Heart
from shared.bus.reader import GroupReader
from shared.bus.topups import Topups
from shared.bus.trust import Trust
from shared.contracts.catalogue import OFFERS
from shared.contracts.errors import TopupError
from shared.contracts.streams import LEDGER_GROUP
from shared.runtime.background import end
from shared.runtime.clock import Clock
from shared.runtime.crashpoints import CrashPoint, crash_points
from shared.runtime.instance import Instance
from shared.runtime.redis import connect
from shared.runtime.waiting import until_done
from shared.web.checks import queue_check, redis_check
from shared.web.health import Condition, Health
from shared.web.listener import Listener

log = structlog.get_logger()

PASSING: Final = (psycopg.OperationalError, OSError)


class SchemaBehind(TopupError):
    """The database lacks migrations of this version; apply them, then start again."""

    code = "schema_behind"


class Ledger:
    """One replica: a bookkeeper for each partition, the read API, a heart, and upkeep."""

    def __init__(self, settings: LedgerSettings, instance: Instance, clock: Clock) -> None:
        partitions = settings.stream_partitions
        self._client = connect(settings.redis_url, reads_max=partitions)
        self._database = Database(
            settings.database_url, connections_max=settings.database_pool_size
        )
        self._topups = Topups(
            self._client, partitions=partitions, window_ms=0, replicas=settings.redis_replicas
        )
        self._draining = asyncio.Event()
        crash = crash_points(settings.crash_at, environment=settings.environment)
        self._bookkeepers = [
            self._bookkeeper(partition, instance, clock, crash) for partition in range(partitions)
        ]
        proposals = Proposals(self._database)
        self._upkeep = self._timers(proposals, retention_ms=settings.stream_retention_ms)
        self._watch = Watch(
            self._topups,
            Trust(self._client, self._topups),
            self._database,
            providers=list(OFFERS),
        )
        self._gauges = Gauges(self._client, self._topups, providers=list(OFFERS))
        self._heart = Heart(
            self._client,
            instance,
            clock,
            partitions=partitions,
            interval_ms=settings.heartbeat_ms,
            say=self._say,
        )
        self._working: list[asyncio.Task[None]] = []
        self._background: list[asyncio.Task[None]] = []
        app = self._app(settings, proposals, clock)
        drain_s = settings.drain_timeout_ms / 1_000
        self.listeners = [Listener(app, host=settings.host, port=settings.port, drain_s=drain_s)]
        self.health = self._health(instance, clock)

    async def open(self) -> None:
        """Wait for both servers, check the schema, compare the streams with it, beat, then read.

        Raises:
            SchemaBehind: migrations are missing.
            PartitionsDiffer: the streams were made with another partition count.
        """
        self._background = [asyncio.create_task(self._gauges.run())]
        await self._database.open()
        await until_done("database_not_reached", self._check_schema, passing=PASSING, said=said)
        await until_done("redis_not_reached", self._prepare)
        self._background += [
            asyncio.create_task(self._heart.run()),
            asyncio.create_task(self._database.watch()),
        ]
        self._working = [
            asyncio.create_task(self._watch.run(self._draining)),
            asyncio.create_task(self._upkeep.run(self._draining)),
            *(asyncio.create_task(bookkeeper.run()) for bookkeeper in self._bookkeepers),
        ]

    async def close(self) -> None:
        """Read no more, book and acknowledge what is in hand, then leave the living."""
        self._draining.set()
        await asyncio.gather(*self._working)
        await end(self._background)
        if self._working:
            await self._heart.stop()
        await self._database.close()
        await self._client.aclose()

    def _bookkeeper(
        self, partition: int, instance: Instance, clock: Clock, crash: CrashPoint
    ) -> Bookkeeper:
        return Bookkeeper(
            partition,
            topups=self._topups,
            providers=list(OFFERS),
            reader=GroupReader(self._client, group=LEDGER_GROUP, consumer=instance.owner),
            client=self._client,
            books=Books(self._database),
            chain=Chain(self._database),
            overtaken=Overtaken(self._database),
            clock=clock,
            draining=self._draining,
            crash=crash,
        )

    def _timers(self, proposals: Proposals, *, retention_ms: int) -> Upkeep:
        return Upkeep(
            self._topups,
            self._bookkeepers,
            self._database,
            proposals,
            sweeps=[
                Overtaken(self._database).sweep,
                Questions(self._client, self._topups, self._database).schedule,
            ],
            providers=list(OFFERS),
            retention_ms=retention_ms,
        )

    def _app(self, settings: LedgerSettings, proposals: Proposals, clock: Clock) -> Starlette:
        key = settings.evidence_key
        dossiers = Dossiers(self._database, Signer(key) if key else None, clock)
        past = Past(self._database, clock, timezone=settings.timezone)
        keys, chain = Keys(Changes(self._database, self._client)), Chain(self._database)
        lists = Lists(past, self._topups)
        return query_app(
            past,
            lists,
            keys,
            dossiers=dossiers,
            chain=chain,
            proposals=proposals,
            statements=Statements(self._database, clock, timezone=settings.timezone),
        )

    def _health(self, instance: Instance, clock: Clock) -> Health:
        return Health(
            instance,
            clock,
            checks={
                "database": self._check_database,
                "redis": redis_check(self._client, self._topups),
                "queue": queue_check(self._topups),
            },
            # without Redis nothing new comes, but what is booked can still be asked
            essential=frozenset({"database"}),
        )

    async def _check_schema(self) -> None:
        async with self._database.connection() as connection:
            there = await applied(connection)
        behind = missing(there, shipped())
        if behind:
            raise SchemaBehind(f"{behind[0].name} is not applied; run: topup migrate")

    async def _prepare(self) -> None:
        for provider in OFFERS:
            await self._topups.prepare(provider)
        await self._watch.look(compare=True)
        await self._heart.beat()

    async def _check_database(self) -> Condition:
        await self._database.ping()
        return Condition(connected=True, status="healthy")

    def _say(self) -> dict[str, Any]:
        return {"database": {"connected": self._database.connected}}


def build(settings: LedgerSettings, instance: Instance, clock: Clock) -> Ledger:
    """Return a ledger ready to be opened."""
    return Ledger(settings, instance, clock)
