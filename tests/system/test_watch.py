"""A real Prometheus on a real `make run`: its rules hold, alerts fire and clear, panels have data.

`make check-watch` runs it. Rules and thresholds are those that are shipped, so this takes minutes.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ops.ports import free_port
from ops.watch.declared import all_metrics
from ops.watch.shown import ROWS
from tests.system.stack import ROOT, UNLIMITED, Running, Stack, accept, until

pytestmark = [pytest.mark.system, pytest.mark.watch]

SOURCE = ROOT / "deploy" / "prometheus"


def promtool(*words: str, cwd: Path = SOURCE) -> subprocess.CompletedProcess[str]:
    """Run it in a folder of configurations."""
    return subprocess.run(
        ["promtool", *words], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", sorted(path.name for path in SOURCE.glob("prometheus*.yml")))
def test_prometheus_takes_the_configuration(name: str, tmp_path: Path) -> None:
    """With all its rules; of Debian's, which is built without Kubernetes, all else."""
    folder = shutil.copytree(SOURCE, tmp_path / "prometheus")
    done = promtool("check", "config", name, cwd=folder)
    if "field kubernetes_sd_configs not found" in done.stderr:
        text = (folder / name).read_text()
        found = re.search(r"    kubernetes_sd_configs:\n(      .*\n)+", text)
        assert found is not None
        (folder / name).write_text(
            text.replace(found[0], "    file_sd_configs: [{files: [x.json]}]\n")
        )
        done = promtool("check", "config", name, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_on_made_up_series() -> None:
    """Quiet before, firing with its labels, and quiet again."""
    done = promtool("test", "rules", "tests/alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


class Prometheus:
    """One that scrapes the stack, by the shipped configuration."""

    def __init__(self, folder: Path, targets: Path) -> None:
        shutil.copytree(SOURCE, folder / "prometheus")
        configuration = folder / "prometheus" / "prometheus.yml"
        text = configuration.read_text()
        assert "../../.topup/targets/*.json" in text
        configuration.write_text(text.replace("../../.topup/targets", str(targets)))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._output = (folder / "output").open("wb")
        self._process = subprocess.Popen(
            [
                "prometheus", f"--config.file={configuration}",
                f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=self._output, stderr=self._output,
        )  # fmt: skip

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        self._output.close()

    async def ask(self, path: str, **query: str) -> Any:
        """Return the data of an answer of its API."""
        url = f"{self.url}/api/v1/{path}"
        async with aiohttp.ClientSession() as session, session.get(url, params=query) as answer:
            body = await answer.json()
        assert body["status"] == "success", body
        return body["data"]

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series that a query finds now."""
        found: list[dict[str, Any]] = (await self.ask("query", query=expr))["result"]
        return found

    async def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = (await self.ask("alerts"))["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """What is watched."""
    folder = tmp_path_factory.mktemp("run") / "topup"
    running = Running(folder, {**UNLIMITED, "SANDBOX_LATENCY": "20"})
    yield running
    running.stop()


@pytest.fixture(scope="module")
def prometheus(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Who watches it."""
    prometheus = Prometheus(tmp_path_factory.mktemp("watch"), running.folder / "targets")
    yield prometheus
    prometheus.stop()


@pytest.fixture
async def stack(running: Running) -> AsyncIterator[Stack]:
    """The stack, with a session of this test's loop."""
    async with Stack(running) as stack:
        yield stack


async def seen(prometheus: Prometheus) -> set[tuple[str, str]]:
    """Return service and instance of what answers."""
    with_trouble = await prometheus.ask("targets", state="active")
    return {
        (one["labels"]["service"], one["labels"]["instance"])
        for one in with_trouble["activeTargets"]
        if one["health"] == "up"
    }


async def ran(stack: Stack) -> set[tuple[str, str]]:
    rows = await asyncio.to_thread(stack.ps)
    return {(row["service"], row["id"]) for row in rows if row["instance_port"] is not None}


async def test_every_replica_is_found_as_they_come_and_go(
    stack: Stack, prometheus: Prometheus
) -> None:
    """Nobody tells Prometheus anything but the file that `topup up` writes."""

    async def found() -> bool:
        try:
            return await seen(prometheus) == await ran(stack)
        except aiohttp.ClientError:  # it is starting
            return False

    await until(found)
    for count in (2, 1):
        scaled = await asyncio.to_thread(stack.topup, "scale", f"ledger={count}")
        assert scaled.returncode == 0, scaled.stderr
        await until(found)
        assert len([one for one in await ran(stack) if one[0] == "ledger"]) == count


async def test_every_metric_is_there_and_every_panel_has_data(
    stack: Stack, prometheus: Prometheus
) -> None:
    """After some sales of every kind, one of which ends in limbo; labels stay few."""
    topups = await accept(stack, 60)
    for phone in ("5566374904", "5566374901", "5566374902"):
        await stack.post(phone=phone)
    await stack.until_settled(len(topups) + 2, within_s=60)

    async def without_data() -> list[str]:
        queries = [
            query.expr.replace("$__rate_interval", "1m")
            for row in ROWS
            for panel in row.panels
            for query in panel.queries
        ]
        return [one for one in queries if not await prometheus.query(one)]

    async def all_have() -> bool:
        return not await without_data()

    await until(all_have, within_s=90, each_s=2)
    for metric in all_metrics():
        for label in metric.labels:
            counted = await prometheus.query(f"count by ({label}) ({metric.samples[0]})")
            assert len(counted) <= 24, (metric.name, label, counted)


async def test_nothing_fires_where_nothing_is_wrong(stack: Stack, prometheus: Prometheus) -> None:
    """A quiet night is quiet."""
    assert await prometheus.firing() == set()


async def test_alerts_fire_and_clear(stack: Stack, prometheus: Prometheus) -> None:
    """A held lane, the limiter and a ledger away: what is wrong is told, and then nothing is."""
    words = ("lanes", "hold", "RELOADLY", "--reason", "maintenance", "--yes")
    held = await asyncio.to_thread(stack.topup, *words)
    assert held.returncode == 0, held.stderr
    status, waiting = await stack.post(provider="RELOADLY")
    assert status == 202, waiting
    scaled = await asyncio.to_thread(stack.topup, "scale", "ratelimiter=0")
    assert scaled.returncode == 0, scaled.stderr
    (dispatcher, *_others) = await asyncio.to_thread(stack.ps, "dispatcher")
    await flap(stack, prometheus, dispatcher["id"])
    wanted = {
        "TopupLimiterDegraded", "TopupServiceGone", "TopupOldestUnfinished", "TopupReplicaFlaps",
    }  # fmt: skip
    fired: set[str] = set()

    async def all_fired() -> bool:
        fired.update(await prometheus.firing())
        return wanted <= fired

    await until(all_fired, within_s=300, each_s=2)
    assert fired <= wanted | {"TopupLaneHeld", "TopupReplicaDown"}

    released = await asyncio.to_thread(stack.topup, "lanes", "release", "RELOADLY", "--yes")
    assert released.returncode == 0, released.stderr
    scaled = await asyncio.to_thread(stack.topup, "scale", "ratelimiter=1")
    assert scaled.returncode == 0, scaled.stderr

    async def cleared() -> bool:  # that it flapped is told for a quarter of an hour
        return await prometheus.firing() <= {"TopupReplicaFlaps"}

    await until(cleared, within_s=120, each_s=2)
    assert (await stack.status_of(waiting["topup_id"]))["status"] == "succeeded"


async def flap(stack: Stack, prometheus: Prometheus, replica: str) -> None:
    """Kill it three times, each time as soon as Prometheus has seen that it started anew."""
    query = f"changes(process_start_time_seconds{{instance='{replica}'}}[15m])"
    for lives in range(1, 4):
        rows = await asyncio.to_thread(stack.ps)
        os.kill(next(one["pid"] for one in rows if one["id"] == replica), signal.SIGKILL)

        async def is_seen(lives: int = lives) -> bool:
            (found,) = await prometheus.query(query)
            return int(found["value"][1]) >= lives

        await until(is_seen, within_s=60, each_s=0.5)
