"""A provider of 2 to 7 s: what is reached of what slots and mean latency allow."""

import json
import threading
import time
import urllib.request
from pathlib import Path
from typing import Final

import msgspec

from bench.account import resident_mb
from bench.houses import House, ours
from bench.rounds import paid

LATENCY: Final = "2000-7000"
MEAN_S: Final = 4.5
DISPATCHERS: Final = 3
SECONDS_FULL: Final = 8.0
"""After the slowest first answers, answers are spread evenly."""


class Slow(msgspec.Struct, frozen=True, kw_only=True):
    """What was reached in the steady middle."""

    slots: int
    offered_per_s: float
    possible_per_s: float
    done_per_s: float
    active: int  # as queue-stats said
    dispatcher_mb: float

    @property
    def share(self) -> float:
        """Of what was possible."""
        return self.done_per_s / self.possible_per_s


def slow(folder: Path, *, slots: int, rate: float, seconds: float) -> Slow:
    """Offer at a rate that fills all slots; count what ends in the steady middle.

    What ends is counted over whole seconds of provider time, from when all slots have turned over.
    """
    settings = {"SANDBOX_LATENCY": LATENCY, "QUEUE_CONCURRENCY": str(slots)}
    possible = min(slots * DISPATCHERS / MEAN_S, rate)
    with ours(folder, **settings) as house:
        offering = threading.Thread(
            target=house.offer, args=(int(rate * (seconds + SECONDS_FULL)),),
            kwargs={"first": 0, "rate": rate},
        )  # fmt: skip
        offering.start()
        time.sleep(SECONDS_FULL)
        before, began = paid(house)["paid"], time.monotonic()
        active = 0
        while time.monotonic() - began < seconds:
            time.sleep(1.0)
            active = max(active, _active(house))
        done, passed = paid(house)["paid"] - before, time.monotonic() - began
        memory = resident_mb(house.pids)
        offering.join()
        return Slow(
            slots=slots,
            offered_per_s=rate,
            possible_per_s=possible,
            done_per_s=done / passed,
            active=active,
            dispatcher_mb=max(mb for name, mb in memory.items() if name.startswith("dispatcher")),
        )


def _active(house: House) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{house.port}/api/admin/queue-stats", headers=house.headers
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
        found: int = json.load(answer)["active"]
        return found
