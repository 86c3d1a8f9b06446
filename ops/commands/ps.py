"""`topup ps`: what runs."""

import os
import sys
from typing import Annotated

from cyclopts import Parameter


def ps(*, as_json: Annotated[bool, Parameter(name="--json", negative=())] = False) -> None:
    """Show every replica and server that runs here.

    Args:
        as_json: A list for programs instead of a table.
    """
    from ops.supervisor.control import List, ask
    from ops.supervisor.folder import data_folder
    from ops.tables import as_list, print_rows

    rows = ask(data_folder(os.environ).socket, List()).rows
    if as_json:
        sys.stdout.write(as_list(rows))
    else:
        print_rows(rows)
