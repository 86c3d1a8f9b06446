"""`topup up` whose replicas run as `tests.chaos.replica`; all else is as in production."""

import os
import sys

from msgspec.structs import replace

from ops.errors import CommandFailed
from ops.supervisor.folder import data_folder
from ops.supervisor.plan import SERVICES, Plan
from ops.supervisor.run import up

PLAN = Plan(services=tuple(replace(one, module="tests.chaos.replica") for one in SERVICES))

if __name__ == "__main__":
    try:
        up(PLAN, data_folder(os.environ), os.environ)
    except CommandFailed as problem:
        sys.stderr.write(f"topup: {problem}\n")
        sys.exit(problem.status)
