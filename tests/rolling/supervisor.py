"""`topup up` that begins with the earlier version: its functions, its schema, its replicas."""

import os
import sys
from typing import Final

from msgspec.structs import replace

from ops.errors import CommandFailed
from ops.supervisor.folder import data_folder
from ops.supervisor.plan import SERVICES, TASKS, Plan
from ops.supervisor.run import up

COMMANDS: Final = {"functions": ("-m", "shared.bus", "load")}
"""What the earlier version calls otherwise."""


def plan(earlier: str) -> Plan:
    """Return what is started: all of it in the earlier version's folder."""
    within = ("-m", "tests.rolling.within", earlier)
    return Plan(
        services=tuple(replace(one, module="tests.rolling.replica") for one in SERVICES),
        tasks=tuple(
            replace(one, arguments=(*within, *COMMANDS.get(one.name, one.arguments)))
            for one in TASKS
        ),
    )


if __name__ == "__main__":
    try:
        up(plan(os.environ["ROLLING_EARLIER"]), data_folder(os.environ), os.environ)
    except CommandFailed as problem:
        sys.stderr.write(f"topup: {problem}\n")
        sys.exit(problem.status)
