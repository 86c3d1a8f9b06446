"""Who this sandbox is: the same health report that every service gives."""

import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


class Identity:
    """One life of the sandbox."""

    def __init__(self, instance_id: str, now: Callable[[], float]) -> None:
        self._id = instance_id
        self._now = now
        self._started = now()

    def report(self) -> dict[str, Any]:
        """Return the body of `/health`."""
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return {
            "status": "healthy",
            "service": "sandbox",
            "version": _version(),
            "uptime": round(self._now() - self._started, 1),
            "instance": {
                "id": self._id,
                "memory": f"{pages * os.sysconf('SC_PAGE_SIZE') // 1_000_000}MB",
                "pid": os.getpid(),
            },
            "services": {},
        }


def _version() -> str:
    try:
        return version("topup")
    except PackageNotFoundError:  # it runs from a bare checkout too
        return "unknown"
