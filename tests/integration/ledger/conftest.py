"""A migrated database, emptied for each test by making it anew, and books on it."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from services.ledger.books import Books
from services.ledger.database import Database
from services.ledger.logins import LEDGER_ROLE, allow_login
from services.ledger.migrations import migrate, shipped
from tests.integration.ledger.typed import typed  # noqa: F401 - a fixture

PASSWORD = "it's 100 % secret/@:"


@pytest.fixture(scope="session")
def template(postgres_url: str) -> str:
    """A migrated database to copy: its books refuse to be emptied."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS ledger_template")
        connection.execute("CREATE DATABASE ledger_template")
    migrate(_beside(postgres_url, "ledger_template"), shipped(), say=lambda _text: None)
    allow_login(postgres_url, PASSWORD)
    return "ledger_template"


@pytest.fixture
def ledger_url(postgres_url: str, template: str) -> Iterator[str]:
    """A migrated, empty database."""
    with fresh(postgres_url, template) as url:
        yield url


@pytest.fixture
def service_url(ledger_url: str) -> str:
    """The same database, as the ledger's own role."""
    return as_ledger(ledger_url)


def as_ledger(url: str) -> str:
    """Return where the ledger's own role is served."""
    _, _, place = url.rpartition("@")
    return f"postgresql://{LEDGER_ROLE}:{quote(PASSWORD, safe='')}@{place}"


@pytest.fixture
async def database(service_url: str) -> AsyncIterator[Database]:
    """A few connections to it, with the rights that a ledger has."""
    async with opened(service_url, connections_max=8) as database:
        yield database


@pytest.fixture
def books(database: Database) -> Books:
    """The books in it."""
    return Books(database)


@asynccontextmanager
async def opened(url: str, *, connections_max: int = 2) -> AsyncIterator[Database]:
    """A database that is open as long as the block lasts."""
    database = Database(url, connections_max=connections_max)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


class fresh:  # noqa: N801 - reads as a function
    """A copy of the template, for as long as the block lasts."""

    def __init__(self, postgres_url: str, template: str) -> None:
        self._url = postgres_url
        self._template = template
        self._name = f"ledger_{secrets.token_hex(6)}"

    def __enter__(self) -> str:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(self._name), sql.Identifier(self._template)
                )
            )
        return _beside(self._url, self._name)

    def __exit__(self, *_: object) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self._name))
            )


def _beside(url: str, name: str) -> str:
    return url.rsplit("/", 1)[0] + f"/{name}"
