"""A migrated database, emptied for each test by making it anew, and books on it."""

import secrets
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg import sql

from services.ledger.books import Books
from services.ledger.database import Database
from services.ledger.migrations import migrate, shipped


@pytest.fixture(scope="session")
def template(postgres_url: str) -> str:
    """A migrated database to copy: its books refuse to be emptied."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS ledger_template")
        connection.execute("CREATE DATABASE ledger_template")
    migrate(_beside(postgres_url, "ledger_template"), shipped(), say=lambda _text: None)
    return "ledger_template"


@pytest.fixture
def ledger_url(postgres_url: str, template: str) -> Iterator[str]:
    """A migrated, empty database."""
    with fresh(postgres_url, template) as url:
        yield url


@pytest.fixture
async def database(ledger_url: str) -> AsyncIterator[Database]:
    """A few connections to it."""
    database = Database(ledger_url, connections_max=8)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def books(database: Database) -> Books:
    """The books in it."""
    return Books(database)


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
