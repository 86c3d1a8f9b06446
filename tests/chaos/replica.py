"""One replica as chaos runs it: the service itself, on links of its own and a clock that jumps.

`CHAOS_WAYS` (JSON: side → service → variable → value) tells each service its own way to its
servers; replicas take the sides in turn. The folder `CHAOS_ORDERS` has orders for single instances:
`<instance>.clock` says by how many ms its clock is off, `<instance>.crash` is a `CRASH_AT` for its
next life, and for that one only. A dispatcher asks about what it cannot find out for half a minute
only, where others would for hours.
"""

import json
import os
import runpy
import sys
import threading
import time
from pathlib import Path
from typing import Final

LOOK_S: Final = 0.1
SOONER: Final = {"INQUIRIES_MAX": 12, "BACKOFF_MS_MAX": 4_000}


def main() -> None:
    """Become the service that the instance id names."""
    instance = os.environ["INSTANCE_ID"]
    service, _, number = instance.rpartition("-")
    ways = json.loads(os.environ["CHAOS_WAYS"])
    os.environ |= ways[int(number) % len(ways)].get(service, {})
    orders = Path(os.environ["CHAOS_ORDERS"])
    _let_the_clock_jump(orders / f"{instance}.clock")
    _crash_once(orders / f"{instance}.crash")
    if service == "dispatcher":
        from services.dispatcher import rules

        vars(rules).update(SOONER)
    module = f"services.{service}"
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _crash_once(order: Path) -> None:
    try:
        os.environ["CRASH_AT"] = order.read_text()
    except FileNotFoundError:
        return
    order.unlink()


def _let_the_clock_jump(file: Path) -> None:
    """Shift the wall clock, and never the monotonic one, as a correction of the time does."""
    true_ns = time.time_ns
    ahead_ns = 0

    def watch() -> None:
        nonlocal ahead_ns
        while True:
            try:
                ahead_ns = int(file.read_text()) * 1_000_000
            except (OSError, ValueError):
                ahead_ns = 0
            time.sleep(LOOK_S)

    threading.Thread(target=watch, daemon=True).start()
    time.time_ns = lambda: true_ns() + ahead_ns
    time.time = lambda: time.time_ns() / 1e9


if __name__ == "__main__":
    main()
