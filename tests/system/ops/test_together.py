"""`topup serve all`: the four roles in one replica, as a container platform runs and stops it."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ops.ports import free_port
from ops.supervisor.demo import Demo
from shared.contracts.keys import draw_key
from tests.system.stack import TOPUP, until

pytestmark = [pytest.mark.system, pytest.mark.long]

LOGIN = {
    "LATCOM_USERNAME": "us",
    "LATCOM_PASSWORD": "secret",
    "LATCOM_DIST_API": "api",
    "LATCOM_USER_UID": "uid",
}
ROLES = {"gateway", "ratelimiter", "dispatcher", "ledger"}
ORDER = {"phone": "5566374683", "amount": 10, "provider": "LATCOM"}


class Replica:
    """One `topup serve` with what it said."""

    def __init__(self, folder: Path, service: str, place: str, environ: dict[str, str]) -> None:
        self.port = int(environ["PORT"])
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = folder / f"{place}.out"
        with self._output.open("wb") as out:
            self.process = subprocess.Popen(
                [TOPUP, "serve", service],
                env={**os.environ, **environ, "INSTANCE_ID": place},
                cwd="/",
                stdout=out,
                stderr=out,
            )

    def said(self) -> list[dict[str, Any]]:
        """Return its lines, each of them JSON; the last may be half written."""
        whole = self._output.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]


@contextmanager
def replica(folder: Path, service: str, place: str, environ: dict[str, str]) -> Iterator[Replica]:
    running = Replica(folder, service, place, environ)
    try:
        yield running
    finally:
        running.process.terminate()
        running.process.wait(60)


@pytest.fixture
def environ(redis_url: str, database_url: str) -> dict[str, str]:
    """What a platform tells each replica."""
    return {
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        "ADMIN_KEY": "visible",
        "RATE_LIMIT_PER_MINUTE": "1000000",
        **LOGIN,
    }


def prepared(environ: dict[str, str], keys: Demo) -> None:
    """Migrate, and make the customer, as a step before the deployment does."""
    everything = {**os.environ, **environ}
    subprocess.run([TOPUP, "migrate"], env=everything, check=True, capture_output=True)
    seeding = [sys.executable, "-m", "services.ledger", "seed-demo"]
    subprocess.run(seeding, env=everything, check=True, input=keys.seed())


async def test_two_replicas_sell_and_one_goes(environ: dict[str, str], tmp_path: Path) -> None:
    """Each has all four roles under its own name; one drains under load, and nothing is lost."""
    keys = Demo(url="", api_key=draw_key(), admin_key="visible")
    prepared(environ, keys)
    sandbox = {**environ, "PORT": str(free_port()), "SANDBOX_LATENCY": "200"}
    environ["LATCOM_URL"] = f"http://127.0.0.1:{sandbox['PORT']}"
    with ExitStack() as running:
        running.enter_context(replica(tmp_path, "sandbox", "provider", sandbox))
        one, other = (
            running.enter_context(
                replica(tmp_path, "all", place, {**environ, "PORT": str(free_port())})
            )
            for place in ("one", "other")
        )
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            headers={"x-api-key": keys.api_key, "x-admin-key": keys.admin_key},
        ) as client:
            await up(client, one, other)
            taken = await sell(client, one, other)
            one.process.terminate()
            taken += await sell(client, other, other)
            assert await asyncio.to_thread(one.process.wait, 60) == 0
            await all_paid(client, other, taken)
    drained = [line["role"] for line in one.said() if line.get("state") == "stopped"]
    assert drained == [f"{role}-one" for role in ("gateway", "dispatcher", "ledger", "ratelimiter")]


async def up(client: aiohttp.ClientSession, *replicas: Replica) -> None:
    """Wait until each answers at its own port, and all roles of both are seen at work."""

    async def answers(one: Replica) -> bool:
        assert one.process.poll() is None, one.said()
        try:
            async with client.get(f"{one.url}/health") as answer:
                return answer.status == 200
        except OSError:
            return False

    async def seen() -> bool:
        async with client.get(f"{replicas[0].url}/api/admin/queue-stats") as answer:
            rows = (await answer.json())["instances"]
        return {row["id"] for row in rows} >= {
            f"{role}-{place}" for role in ROLES - {"ratelimiter"} for place in ("one", "other")
        }

    for one in replicas:
        await until(partial(answers, one))
    await until(seen)


async def sell(client: aiohttp.ClientSession, *replicas: Replica) -> list[str]:
    """Sell twenty topups at each."""

    async def one(at: Replica) -> str:
        async with client.post(f"{at.url}/api/enviadespensa/topup", json=ORDER) as answer:
            assert answer.status == 202, await answer.text()
            return str((await answer.json())["topup_id"])

    return await asyncio.gather(*(one(at) for at in replicas for _ in range(20)))


async def all_paid(client: aiohttp.ClientSession, at: Replica, topups: list[str]) -> None:
    """Wait until each of them is told to be paid, and none twice."""
    assert max(Counter(topups).values()) == 1

    async def done() -> bool:
        async with client.get(f"{at.url}/api/admin/queue-stats") as answer:
            return bool((await answer.json())["completed"] == len(topups))

    await until(done)
