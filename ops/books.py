"""The ledger's database, as a command reaches it; its problems are one line."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg

from ops.connections import check_addresses, environment_here, setting
from ops.errors import CommandFailed
from services.ledger.database import Database, said

_CONNECT_S_MAX: Final = 2


def database_address() -> str:
    """Return DATABASE_URL, or that of what runs here; raises CommandFailed where there is none."""
    environ = environment_here(os.environ, needed=("DATABASE_URL",))
    check_addresses(environ)
    url = setting("DATABASE_URL", environ)
    assert url is not None, "environment_here has seen it"
    return url


@asynccontextmanager
async def open_database(*, connections_max: int = 1) -> AsyncIterator[Database]:
    """Yield the database of DATABASE_URL, or the one that runs here.

    Raises:
        CommandFailed: there is none, it does not answer, or it has no schema yet.
    """
    url = database_address()
    database = Database(url, connections_max=connections_max)
    try:
        # one of its own says why it was refused; the pool would only give up
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=_CONNECT_S_MAX):
            await database.open()
        yield database
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        raise CommandFailed("the database has no such books yet; run: topup migrate") from None
    except (psycopg.Error, OSError) as problem:
        raise CommandFailed(f"the database did not answer: {said(problem)}") from None
    finally:
        await database.close()
