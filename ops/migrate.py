"""`topup migrate`: the ledger's schema, brought up to date."""

import os


def migrate() -> None:
    """Apply the migrations that are missing to DATABASE_URL, or to the database that runs here."""
    from ops.connections import environment_here
    from ops.serve import run_module

    os.environ |= environment_here(os.environ, needed=("DATABASE_URL",))
    run_module("services.ledger", "migrate")
