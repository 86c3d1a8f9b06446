"""Replaces replicas of one version by those of another, one by one, as a deployment does."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from redis import Redis

from ops.supervisor.replica import Row
from tests.chaos.house import ROOT, House, until

FORWARDS: Final = ("ledger", "ratelimiter", "dispatcher", "gateway")
"""Who reads before who writes: nobody meets an event that it is too old for."""
PATIENT: Final = {"LATCOM_TIMEOUT": "10s", "RELOADLY_TIMEOUT": "10s", "STALL": "15s"}
"""So that a busy machine alone leaves nothing in doubt."""
REPLACED_S_MAX: Final = 60.0
VOUCHED_S_MAX: Final = 1.0
"""After its functions were replaced a ledger vouches for the streams again; gateways from before
24 November 2026 say 503 to a look until then, later ones wait."""
SETTLES_S: Final = 1.0
"""Both versions sell side by side for a moment after each replacement."""


class TwoVersions(House):
    """A house that begins with the earlier version; its provider is the present stand-in."""

    functions_replaced: tuple[float, float] = (0.0, 0.0)

    def __init__(self, folder: Path, earlier: Path) -> None:
        super().__init__(
            folder, kinds=(), latency="100-900", direct=True, two_lanes=True, settings=PATIENT
        )
        self.earlier = earlier

    def _start(self, name: str, module: str, environ: Mapping[str, str]) -> None:
        if name == "supervisor":
            module = "tests.rolling.supervisor"
            environ = {**environ, "ROLLING_EARLIER": str(self.earlier)}
        super()._start(name, module, environ)

    def functions(self) -> str:
        """Return which minor version of the functions is loaded."""
        with Redis.from_url(self.servers["valkey"].url) as client:
            ((*_, code),) = client.function_list("topups1", withcode=True)
        found = re.search(rb"^-- (minor \d+)$", code, re.MULTILINE)
        return found[1].decode() if found else "no minor"

    def migrate(self, tree: Path) -> str:
        """Bring functions and schema to what that version ships; return what was done."""
        environ = {
            **os.environ,
            "DATABASE_URL": self.servers["postgres"].url,
            "REDIS_URL": self.servers["valkey"].url,
        }
        before, begun = self.functions(), time.monotonic()
        said = f"functions of {before}"
        for words in (["services.ledger", "migrate"], ["shared.bus", "migrate"]):
            done = subprocess.run(
                [sys.executable, "-m", *words],
                cwd=tree, env=environ, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            said += f"; {' '.join(done.stdout.split())}" if done.stdout else ""
        if (now := self.functions()) != before:
            self.functions_replaced = begun, time.monotonic() + VOUCHED_S_MAX
        return f"{said}; functions of {now}"


class Update:
    """Replaces all replicas of a house, and knows which version each of them is of."""

    def __init__(self, house: TwoVersions, say: Callable[[str], None]) -> None:
        self._house = house
        self._say = say
        self.replaced = 0

    async def replace_all(self, tree: Path, *, backwards: bool = False) -> None:
        """Replace each replica by one of that version, and see that it is."""
        for service in reversed(FORWARDS) if backwards else FORWARDS:
            for row in await self._house.replicas(service):
                await self._replace(row, tree)

    async def versions(self) -> dict[str, Path]:
        """Return the folder that each replica really runs in."""
        found = {}
        for service in FORWARDS:
            for row in await self._house.replicas(service):
                found[row.id] = _folder_of(row)
        return found

    async def _replace(self, row: Row, tree: Path) -> None:
        assert row.pid is not None
        begun = time.monotonic()
        (self._house.orders / f"{row.id}.tree").write_text(str(tree))
        os.kill(row.pid, signal.SIGTERM)

        async def is_there() -> bool:
            (now,) = [one for one in await self._house.replicas() if one.id == row.id]
            return now.state == "ready" and now.pid not in (None, row.pid)

        await until(is_there, within_s=REPLACED_S_MAX)
        await asyncio.sleep(SETTLES_S)
        self.replaced += 1
        mixed = sorted(path.name for path in (await self.versions()).values())
        counts = ", ".join(f"{mixed.count(name)} {name}" for name in sorted(set(mixed)))
        self._say(f"  {row.id} replaced after {time.monotonic() - begun:.1f} s: {counts}")


def _folder_of(row: Row) -> Path:
    return Path(f"/proc/{row.pid}/cwd").readlink()


PRESENT: Final = ROOT
