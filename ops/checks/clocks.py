"""Do this machine, Redis and Postgres agree about the time: leases and reports rest on it."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

import psycopg
from redis.exceptions import RedisError

from ops.checks.finding import Finding
from ops.connections import setting
from shared.runtime.clock import Clock
from shared.runtime.redis import Client, connect

_SKEW_MS_MAX: Final = 1_000
_CONNECT_S_MAX: Final = 5


async def check_clocks(environ: Mapping[str, str], clock: Clock) -> AsyncIterator[Finding]:
    """Compare each server's clock with ours; a server that is away is skipped here."""
    for name, measure in (("REDIS_URL", _redis_ahead_ms), ("DATABASE_URL", _database_ahead_ms)):
        url = setting(name, environ)
        if url is None:
            continue
        try:
            ahead_ms = await measure(url, clock)
        except (RedisError, psycopg.Error, OSError):
            continue
        yield _finding(f"clock of {name.removesuffix('_URL').lower()}", ahead_ms)


def _finding(subject: str, ahead_ms: int) -> Finding:
    found = f"{ahead_ms:+d} ms from ours"
    if abs(ahead_ms) <= _SKEW_MS_MAX:
        return Finding(subject, found)
    return Finding(subject, found, "synchronise the clocks of both machines (NTP)")


async def _redis_ahead_ms(url: str, clock: Clock) -> int:
    client = connect(url)
    try:
        ahead_ms = [await _ahead_ms(server, clock) for server in await client.servers()]
    finally:
        await client.aclose()
    return max(ahead_ms, key=abs)


async def _ahead_ms(server: Client, clock: Clock) -> int:
    await server.ping()  # so that no connecting is measured
    before = clock.now_ms()
    seconds, micros = await server.time()
    after = clock.now_ms()
    return int(seconds) * 1_000 + int(micros) // 1_000 - (before + after) // 2


async def _database_ahead_ms(url: str, clock: Clock) -> int:
    connecting = psycopg.AsyncConnection.connect(url, connect_timeout=_CONNECT_S_MAX)
    async with await connecting as connection:
        before = clock.now_ms()
        cursor = await connection.execute("SELECT (1000 * extract(epoch FROM now()))::bigint")
        row = await cursor.fetchone()
        after = clock.now_ms()
    return (int(row[0]) if row else 0) - (before + after) // 2
