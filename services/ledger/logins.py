"""Lets the ledger log in as a role that owns nothing; what the role may do is in the schema."""

from typing import Final

import psycopg
from psycopg import sql

from services.ledger.migrations import locked

LEDGER_ROLE: Final = "topup_ledger"


def allow_login(url: str, password: str) -> None:
    """Give the role this password; the server is told its digest only.

    Raises:
        psycopg.Error: nothing was changed.
    """
    with (
        psycopg.connect(url, autocommit=True, connect_timeout=10) as connection,
        locked(connection),
    ):
        verifier = connection.pgconn.encrypt_password(
            password.encode(), LEDGER_ROLE.encode(), b"scram-sha-256"
        )
        connection.execute(
            sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(LEDGER_ROLE), sql.Literal(verifier.decode())
            )
        )
