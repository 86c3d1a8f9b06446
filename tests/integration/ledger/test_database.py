"""What is lent comes back: nobody who asks a database waits for it for ever."""

import asyncio

import psycopg
import pytest

from services.ledger.database import Database

pytestmark = pytest.mark.integration
SLEEPS = "SELECT pg_sleep(60)"


async def test_a_connection_is_lent_for_so_long_and_no_longer(database: Database) -> None:
    """The use fails as a lost connection does; the next one finds the database well."""
    await database.ping()
    with pytest.raises(psycopg.OperationalError, match=r"no answer within 0\.2 s"):
        async with database.connection(within_s=0.2) as connection:
            await connection.execute(SLEEPS)
    assert not database.connected
    await database.ping()
    assert database.connected


async def test_a_callers_own_time_out_says_nothing_of_the_database(database: Database) -> None:
    """Its own bound was the shorter one; the database is as well as before."""
    await database.ping()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), database.connection() as connection:
            await connection.execute(SLEEPS)
    assert database.connected
