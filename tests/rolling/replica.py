"""One replica of whichever version it is the turn of.

`CHAOS_ORDERS` is a folder: `<instance>.tree` holds the folder of the version that the instance's
next life is of; until there is one it is the earlier version's, `ROLLING_EARLIER`.
"""

import os
from pathlib import Path

from tests.rolling.within import become


def main() -> None:
    """Become the service that the instance id names."""
    instance = os.environ["INSTANCE_ID"]
    order = Path(os.environ["CHAOS_ORDERS"]) / f"{instance}.tree"
    tree = order.read_text() if order.exists() else os.environ["ROLLING_EARLIER"]
    become(tree, ["-m", f"services.{instance.rpartition('-')[0]}"])


if __name__ == "__main__":
    main()
