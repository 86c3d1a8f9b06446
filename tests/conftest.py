"""What all tests share: a real Valkey, flushed for each test, and a fresh database a module."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg import sql
from redis import Redis

from shared.runtime.redis import Client, connect
from tests import leaks, servers
from tests.vouching import vouch_for

_WORKERS_MAX = 4


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: half of what a test does is to wait."""
    return min(_WORKERS_MAX, (os.cpu_count() or 1) + 1)


def pytest_report_header() -> str:
    """Say which servers the tests run on."""
    return f"servers: {servers.kind()}"


@pytest.fixture(autouse=True)
def _logs_tell_no_secret() -> Iterator[None]:
    """Whatever a test makes our code say, no line holds a key, a token or a whole phone."""
    leaks.listen()
    yield
    told = leaks.LINES[:]
    leaks.LINES.clear()
    assert not told, told


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A durable Valkey for the whole session."""
    with servers.valkey(tmp_path_factory.mktemp("servers") / "valkey") as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL for the whole session."""
    with servers.postgres(tmp_path_factory.mktemp("servers") / "postgres") as url:
        yield url


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """An empty Valkey, for which a ledger would vouch."""
    with Redis.from_url(valkey_url) as client:
        client.flushall()
        client.execute_command("FUNCTION", "FLUSH")
    vouch_for(valkey_url)
    return valkey_url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    """A client of the empty Valkey."""
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture(scope="module")
def database_url(postgres_url: str) -> Iterator[str]:
    """A new, empty database for one module."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres_url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
