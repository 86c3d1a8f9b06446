"""`topup up` with stubs in the place of the services; all else is as in production."""

import os
import sys

from msgspec.structs import replace

from ops.errors import CommandFailed
from ops.supervisor.folder import data_folder
from ops.supervisor.plan import SERVICES, TASKS, Plan
from ops.supervisor.run import up

PLAN = Plan(
    services=tuple(replace(service, module="tests.system.ops.stub") for service in SERVICES),
    tasks=tuple(task for task in TASKS if task.name in ("functions", "migrations")),
)

if __name__ == "__main__":
    try:
        up(PLAN, data_folder(os.environ), os.environ)
    except CommandFailed as problem:
        sys.stderr.writelines(f"topup: {line}\n" for line in str(problem).splitlines())
        sys.exit(problem.status)
