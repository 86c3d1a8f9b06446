"""`topup migrate`: schema, stream functions and the services' logins, brought up to date."""

import os


def migrate() -> None:
    """Bring DATABASE_URL and, where they are set, REDIS_URL and LIMITER_REDIS_URL up to date.

    Without them, what runs here. A service whose password is given (GATEWAY_PASSWORD,
    DISPATCHER_PASSWORD, RATELIMITER_PASSWORD, LEDGER_PASSWORD, each also as _FILE) may log in.
    """
    from ops.commands.serve import run_module
    from ops.connections import environment_here
    from ops.supervisor.plan import given

    os.environ |= environment_here(os.environ, needed=("DATABASE_URL",))
    run_module("services.ledger", "migrate")
    if given("REDIS_URL", os.environ):
        run_module("shared.bus", "migrate")
