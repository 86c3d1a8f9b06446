"""`topup serve`: one replica of one service, in this very process; what an image runs."""

import os
import runpy
import signal
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
_STOPPED: Final = 143


def serve(service: str, /) -> None:
    """Be one replica of the service until SIGTERM; settings come from the environment.

    Args:
        service: gateway, ratelimiter, dispatcher, ledger or sandbox; or all, which is one of each
            but the sandbox, with the gateway's port to the outside.
    """
    module = _MODULES.get(service)
    if module is None and service != "all":
        names = ", ".join(_MODULES)
        raise CommandFailed(
            f"there is no service {service!r}, only {names}, and all; "
            "for example: topup serve gateway",
            status=2,
        )
    # The kernel lets process 1 of a container ignore what it does not handle: a stop must count
    # also before the service listens for it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_STOPPED))
    if module is not None:
        run_module(module)
        return
    from ops.supervisor.together import serve_all

    serve_all(os.environ)


def run_module(module: str, *arguments: str) -> None:
    """Go on as `python -m module` would."""
    if find_spec(module) is None or find_spec(f"{module}.__main__") is None:
        raise CommandFailed(f"{module} is not part of this installation")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
