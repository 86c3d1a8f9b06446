"""Named points at which a test may kill the process: `CRASH_AT=dispatcher.after_begin:2`."""

import os
import signal
from collections.abc import Callable

from shared.contracts.errors import InvalidSettings

POINTS = (
    "gateway.after_limit",
    "gateway.after_accept",
    "dispatcher.after_read",
    "dispatcher.after_begin",
    "dispatcher.before_send",
    "dispatcher.after_send",
    "dispatcher.after_answer",
    "dispatcher.after_finish",
    "dispatcher.before_park",
    "dispatcher.after_park",
    "ledger.after_read",
    "ledger.before_commit",
    "ledger.after_commit",
    "ledger.before_ack",
)

CrashPoint = Callable[[str], None]


def crash_points(spec: str | None, *, environment: str) -> CrashPoint:
    """Return the function that services call at each point; without a spec it does nothing.

    Raises:
        InvalidSettings: an unknown point, a wrong count, or any point in production.
    """
    if not spec:
        return lambda _name: None
    name, _, nth = spec.partition(":")
    if environment == "production":
        raise InvalidSettings("CRASH_AT is refused when ENVIRONMENT=production; unset it")
    if name not in POINTS or not (nth or "1").isdigit() or nth == "0":
        raise InvalidSettings(f"CRASH_AT is {spec!r}; for example CRASH_AT={POINTS[3]}:2")
    left = int(nth or "1")

    def reach(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reach
