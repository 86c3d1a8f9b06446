"""One round: offer topups, wait until all are booked, and tell what that took."""

import json
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import psycopg

from bench.account import by_kind, cpu_s, resident_mb, used_s
from bench.houses import OUTSIDE, House
from bench.offer import Heard

EACH_S: Final = 0.05
BOOKED_S_MAX: Final = 300.0


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What one round took. CPU in seconds per 1,000 topups, times in the units of their names."""

    who: str
    what: str
    rate: float  # offered a second; 0: as fast as answered
    count: int
    accepted_per_s: float
    booked_per_s: float  # from the first request to the last row
    p50_ms: float
    p99_ms: float
    max_ms: float
    latencies_ms: list[float]
    last_row_s: float  # from the last 202 to the last row
    cpu: dict[str, float]  # by kind of process
    generator_cpu: float
    resident_mb: dict[str, float]  # of each process, at the end
    lost: list[str]

    @property
    def cpu_s(self) -> float:
        """CPU seconds per 1,000 topups of all that belongs to the product."""
        return sum(figure for kind, figure in self.cpu.items() if kind not in OUTSIDE)


class Rounds:
    """Rounds in one house; each makes topups of its own."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._first = 0

    def run(self, count: int, *, what: str, rate: float = 0.0, **headers: str) -> Round:
        """Make one, and hold what is booked and paid against what was accepted.

        Raises:
            TimeoutError: not all of it was booked.
        """
        house = self._house
        with TemporaryDirectory() as folder, house.books() as books:
            ids = Path(folder) / "ids"
            booked_before, before = _booked(house, books), cpu_s(house.pids)
            paid_before = paid(house)
            heard = house.offer(count, first=self._first, rate=rate, ids=str(ids), **headers)
            self._first += count
            done = self._until_booked(books, booked_before + heard.accepted)
            time.sleep(0.5)  # what is left to acknowledge belongs to it
            used = by_kind(used_s(before, cpu_s(house.pids)))
            given = set(ids.read_text().split())
            lost = self._missing(books, heard, given, paid(house), paid_before)
        return Round(
            who=house.name,
            what=what,
            rate=rate,
            count=count,
            accepted_per_s=heard.accepted / heard.seconds,
            booked_per_s=heard.accepted / (done - heard.began),
            p50_ms=heard.ms(50),
            p99_ms=heard.ms(99),
            max_ms=heard.latencies_ms[-1],
            latencies_ms=heard.latencies_ms,
            last_row_s=max(done - heard.last, 0.0),
            cpu={kind: seconds * 1_000 / heard.accepted for kind, seconds in used.items()},
            generator_cpu=heard.cpu_s * 1_000 / count,
            resident_mb=resident_mb(house.pids),
            lost=lost,
        )

    def _until_booked(self, books: psycopg.Connection[tuple[int]], wanted: int) -> float:
        deadline = time.monotonic() + BOOKED_S_MAX
        while (found := _booked(self._house, books)) < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{found} of {wanted} topups are booked")
            time.sleep(EACH_S)
        return time.monotonic()

    def _missing(
        self,
        books: psycopg.Connection[Any],
        heard: Heard,
        given: set[str],
        now: dict[str, Any],
        before: dict[str, Any],
    ) -> list[str]:
        """Say what does not agree: answers, books, and what the provider was asked and paid."""
        rows = {row[0] for row in books.execute(self._house.ids_query)}
        asked, done = (now[name] - before[name] for name in ("asked", "paid"))
        wrong = {
            f"answers {heard.statuses}": not set(heard.statuses) <= {"200", "202"},
            f"{len(given)} ids in {heard.accepted} answers": len(given) != heard.accepted,
            f"{len(given - rows)} accepted and not booked as succeeded": bool(given - rows),
            f"the provider was asked {asked} times": asked != heard.accepted,
            f"the provider paid {done}": done != heard.accepted,
            f"paid twice: {now['paid_twice'][:3]}": bool(now["paid_twice"]),
        }
        return [text for text, is_so in wrong.items() if is_so]


def paid(house: House) -> dict[str, Any]:
    """Return the totals of the sandbox's own book."""
    with urllib.request.urlopen(f"{house.sandbox_url}/totals", timeout=30) as answer:  # noqa: S310 - loopback
        found: dict[str, Any] = json.load(answer)
        return found


def idle_cores(house: House, seconds: float) -> dict[str, float]:
    """Return the share of one core that each kind of process uses while nothing happens."""
    before, began = cpu_s(house.pids), time.monotonic()
    time.sleep(seconds)
    used, passed = used_s(before, cpu_s(house.pids)), time.monotonic() - began
    return by_kind({name: figure / passed for name, figure in used.items()})


def _booked(house: House, books: psycopg.Connection[tuple[int]]) -> int:
    row = books.execute(house.booked_query).fetchone()
    return row[0] if row else 0
