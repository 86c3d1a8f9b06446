"""The written procedure for another partition count, from one server to a cluster."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.embedded import Running as Server
from ops.valkey_cluster import ValkeyCluster
from services.ledger.audit import Audit
from services.ledger.database import Database
from services.ledger.watch import Standing, Watch
from shared.bus.topups import Topups
from shared.bus.trust import Trust
from shared.runtime.redis import connect
from tests.cluster.conftest import LANE, PARTITIONS
from tests.system.stack import TOPUP, UNLIMITED, Running, Stack, until

pytestmark = [pytest.mark.system, pytest.mark.long]

SETTINGS = {**UNLIMITED, "LATCOM_TIMEOUT": "1s", "STALL": "1s", "SANDBOX_LATENCY": "20"}
LOST_ANSWER = "5566374905"


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Server]:
    """The books, that outlive both."""
    server = Server.postgres(tmp_path / "postgres")
    yield server
    server.stop()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Server]:
    """The streams as they were."""
    server = Server.valkey(tmp_path / "valkey")
    yield server
    server.stop()


async def test_every_key_leads_where_it_led(
    tmp_path: Path, postgres: Server, valkey: Server, six: ValkeyCluster
) -> None:
    """Step by step; and a start that leaves one out is refused."""
    before = {**SETTINGS, "DATABASE_URL": postgres.url, "REDIS_URL": valkey.url}
    after = {
        **SETTINGS,
        "DATABASE_URL": postgres.url,
        "REDIS_URL": six.url,
        "STREAM_PARTITIONS": str(PARTITIONS),
        "REDIS_REPLICAS": "1",
    }
    keys = [f"order-{number}" for number in range(12)]
    running = Running(tmp_path / "one", before)
    async with Stack(running) as stack:
        sold = {key: (await stack.post(key=key))[1]["topup_id"] for key in keys}
        (_, told) = await stack.post(key="in-limbo", phone=LOST_ANSWER)
        sold["in-limbo"] = told["topup_id"]
        await stack.until_settled(len(sold), within_s=60)

        async def all_booked() -> bool:
            return "they have every topup" in stack.topup("doctor").stdout

        await until(all_booked)
        ends = {key: (await stack.status_of(topup))["status"] for key, topup in sold.items()}
    running.stop()
    digest = await _digest(postgres)
    assert "the streams were made with 1, not 12" in _reconcile(before)
    await _refused(postgres, six)

    assert "restored as succeeded" in _reconcile(after)
    assert await _digest(postgres) == digest
    running = Running(tmp_path / "many", after)
    async with Stack(running) as stack:
        for key in keys:
            status, body = await stack.post(key=key)
            assert (status, body["topup_id"]) == (200, sold[key])
        found = {key: (await stack.status_of(topup))["status"] for key, topup in sold.items()}
        assert found == ends
        new = [(await stack.post(key=f"new-{number}"))[1]["topup_id"] for number in range(3)]
        await stack.until_settled(3)
        assert {(await stack.status_of(topup))["status"] for topup in new} == {"succeeded"}
        assert stack.topup("ledger", "verify").returncode == 0
    running.stop()


def _reconcile(environ: dict[str, str]) -> str:
    done = subprocess.run(
        [TOPUP, "reconcile", "streams", "--partitions", str(PARTITIONS), "--yes"],
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


async def _digest(postgres: Server) -> str:
    database = Database(postgres.url, connections_max=1)
    await database.open()
    digest = await Audit(database).digest()
    await database.close()
    return str(digest)


async def _refused(postgres: Server, six: ValkeyCluster) -> None:
    """No ledger vouches for partitions in which the books have never been."""
    client, database = connect(six.url), Database(postgres.url, connections_max=4)
    await database.open()
    topups = Topups(client, partitions=PARTITIONS, window_ms=0, replicas=1)
    await topups.prepare(LANE)
    watch = Watch(topups, Trust(client, topups), database, providers=[LANE])
    assert await watch.look(compare=True) == [Standing.LOST] * PARTITIONS
    await database.close()
    await client.aclose()
