"""The metrics that every service has; each service declares its own beside its code."""

from typing import Final

from prometheus_client import Gauge, Info

BUILD: Final = Info("topup_build", "Which version this replica runs, and as which service.")
READY: Final = Gauge(
    "topup_ready", "1 while this replica has what it needs to serve, else 0.", ["service"]
)
DEPENDENCY_UP: Final = Gauge(
    "topup_dependency_up",
    "1 while the last health check of this dependency was healthy, else 0.",
    ["dependency"],
)
