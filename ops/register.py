"""Customers, operators and keys, as a command reaches them: the database, and the gateways."""

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from ops.books import open_database
from ops.connections import check_addresses, environment_here, setting
from ops.errors import CommandFailed
from services.ledger.changes import Changes, NotAnnounced
from services.ledger.customers import Customers
from services.ledger.keys import Keys
from services.ledger.operators import Operators
from shared.contracts.errors import InvalidRequest
from shared.runtime.redis import connect


class Register(Struct, frozen=True):
    """Who may sell, who may operate, and with what."""

    customers: Customers
    keys: Keys
    operators: Operators


@asynccontextmanager
async def open_register() -> AsyncIterator[Register]:
    """Yield the register of the servers that are named or run here.

    Raises:
        CommandFailed: wrong input (status 2), no server, or done and not announced.
    """
    environ = environment_here(os.environ, needed=("DATABASE_URL", "REDIS_URL"))
    check_addresses(environ)
    client = connect(setting("REDIS_URL", environ) or "")
    try:
        async with open_database() as database:
            changes = Changes(database, client, by=f"cli:{getpass.getuser()}")
            yield Register(Customers(changes), Keys(changes), Operators(changes))
    except InvalidRequest as problem:
        raise CommandFailed(str(problem), status=2) from None
    except NotAnnounced as problem:
        raise CommandFailed(f"{problem}; to tell them at once, repeat this command") from None
    finally:
        await client.aclose()
