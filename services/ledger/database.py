"""Connections to PostgreSQL: a pool that opens as needed, and what every connection must be."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import psycopg
import structlog
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool

from services.ledger import metrics
from services.ledger.migrations import own_name

log = structlog.get_logger()

WAIT_S_MAX: Final = 2.0
USE_S_MAX: Final = 40.0
"""Longer than any statement may take; then nobody is at the other end, and who waits lets go."""
PING_S_MAX: Final = 1.0
PING_EACH_S: Final = 1.0
_SESSION: Final = """
    SELECT set_config('timezone', 'UTC', false),
           set_config('lock_timeout', '10s', false),
           set_config('statement_timeout', '30s', false),
           set_config('idle_in_transaction_session_timeout', '30s', false),
           CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
                THEN set_config('synchronous_commit', 'on', false) END
"""
"""An acknowledged entry is gone: its commit is on disk, whatever the role's default is."""

_CONNECT: Final[dict[str, Any]] = {
    "autocommit": True,
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that is gone without a word is noticed within about ten seconds, by the kernel."""

Connection = psycopg.AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]


class Database:
    """The ledger's database, and whether it answered the last time that anybody asked."""

    def __init__(self, url: str, *, connections_max: int) -> None:
        self.connected = False
        self._url = url
        self._connect = {**_CONNECT, "application_name": own_name()}
        self._pool: Pool = AsyncConnectionPool(
            url,
            kwargs=self._connect,
            min_size=1,
            max_size=connections_max,
            open=False,
            configure=_configure,
            check=AsyncConnectionPool.check_connection,
            timeout=WAIT_S_MAX,
            reconnect_timeout=WAIT_S_MAX,  # its pauses double: short, or it sleeps on
            name="ledger",
        )
        _show(self._pool)

    async def open(self) -> None:
        """Start to connect; does not wait for it."""
        await self._pool.open()

    async def close(self) -> None:
        """Let go of all connections."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self, *, within_s: float | None = USE_S_MAX) -> AsyncIterator[Connection]:
        """Lend a connection in autocommit, for so long at most; None: for a walk over everything.

        Raises:
            psycopg.OperationalError: none can be had, it broke, or the time is over.
        """
        deadline = asyncio.timeout(within_s)
        try:
            async with deadline, self._lent() as connection:
                yield connection
        except psycopg.OperationalError:
            self.connected = False
            raise
        except TimeoutError as problem:
            if not deadline.expired():
                raise
            self.connected = False
            raise psycopg.OperationalError(f"no answer within {within_s} s") from problem
        self.connected = True

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        """Lend one of the pool's, and time the wait and the use."""
        asked = time.monotonic()
        async with self._pool.connection() as connection:
            lent = time.monotonic()
            metrics.DATABASE_WAIT_SECONDS.observe(lent - asked)
            try:
                yield connection
            finally:
                metrics.DATABASE_USE_SECONDS.observe(time.monotonic() - lent)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """Open a connection outside of the pool, for what belongs to one session.

        Raises:
            psycopg.OperationalError: none can be had, or it broke.
        """
        async with await psycopg.AsyncConnection.connect(self._url, **self._connect) as connection:
            await _configure(connection)
            yield connection

    async def ping(self) -> None:
        """Ask for nothing; raises as `connection`."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")

    async def watch(self) -> None:
        """Keep `connected` true to life, also while there is nothing to book; until cancelled."""
        while True:
            was = self.connected
            try:
                async with asyncio.timeout(PING_S_MAX):
                    await self.ping()
            except (psycopg.Error, OSError) as problem:
                self.connected = False
                if was:
                    log.warning("database_lost", problem=said(problem))
                if isinstance(problem, TimeoutError):  # as deaf, maybe, as all the others
                    await self._pool.drain()
            else:
                if not was:
                    log.info("database_reached")
            await asyncio.sleep(PING_EACH_S)


def said(problem: BaseException) -> str:
    """Return the first line of what a server or driver says: it never holds the password."""
    return (str(problem).strip() or type(problem).__name__).splitlines()[0]


def _show(pool: Pool) -> None:
    """Let the metrics ask the pool whenever somebody asks them."""

    def counted(name: str) -> int:
        return pool.get_stats().get(name, 0)

    metrics.CONNECTIONS_MAX.set(pool.max_size)
    metrics.CONNECTIONS.set_function(lambda: counted("pool_size"))
    metrics.CONNECTIONS_IN_USE.set_function(
        lambda: counted("pool_size") - counted("pool_available")
    )
    metrics.CONNECTION_WAITERS.set_function(lambda: counted("requests_waiting"))


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    set_json_loads(msgspec.json.decode, connection)
    await connection.execute(_SESSION)
