"""`topup serve`: one replica of one service, in this very process; what an image runs."""

import runpy
import sys
from importlib.util import find_spec
from typing import Final

from ops.errors import CommandFailed

_MODULES: Final = {
    "gateway": "services.gateway",
    "ratelimiter": "services.ratelimiter",
    "dispatcher": "services.dispatcher",
    "ledger": "services.ledger",
    "sandbox": "sandbox",
}


def serve(service: str, /) -> None:
    """Be one replica of the service until SIGTERM; settings come from the environment.

    Args:
        service: gateway, ratelimiter, dispatcher, ledger or sandbox.
    """
    module = _MODULES.get(service)
    if module is None:
        names = ", ".join(_MODULES)
        raise CommandFailed(
            f"there is no service {service!r}, only {names}; for example: topup serve gateway",
            status=2,
        )
    run_module(module)


def run_module(module: str, *arguments: str) -> None:
    """Go on as `python -m module` would."""
    if find_spec(module) is None or find_spec(f"{module}.__main__") is None:
        raise CommandFailed(f"{module} is not part of this installation")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
