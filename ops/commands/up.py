"""`topup up`: everything on this machine, until Ctrl-C."""

import os


def up() -> None:
    """Start every server and service here, keep them up, and drain them on Ctrl-C."""
    from ops.supervisor.folder import data_folder
    from ops.supervisor.plan import Plan
    from ops.supervisor.run import up as run

    run(Plan(), data_folder(os.environ), os.environ)
