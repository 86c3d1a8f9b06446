"""What `topup scale` promises besides the number: one change at a time, and the truth about it."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGTERM

import pytest

from ops.children import Launch
from ops.supervisor.control import Answer, List, Scale
from ops.supervisor.fleet import Fleet
from ops.supervisor.outlet import LogFile
from ops.supervisor.plan import Plan
from ops.supervisor.replica import Job
from ops.supervisor.scaling import Scaling
from tests.system.ops.conftest import Run, until

pytestmark = [pytest.mark.system, pytest.mark.long]

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(); time.sleep(60)"


def dispatchers(run: Run) -> dict[str, str]:
    return {name: row["state"] for name, row in run.rows().items() if "dispatcher" in name}


def ready(count: int) -> dict[str, str]:
    return {f"dispatcher-{number}": "ready" for number in range(1, count + 1)}


def test_two_wishes_at_once_end_in_one_of_them(run: Run) -> None:
    """One after the other; nobody is drained twice, none is left over."""
    run.up()
    with ThreadPoolExecutor() as pool:
        wishes = [f"dispatcher={count}" for count in (5, 1, 4, 2)]
        done = list(pool.map(lambda wish: run.topup("scale", wish), wishes))
    for one in done:
        assert one.returncode == 0 or "scaled again meanwhile" in one.stderr
    assert dispatchers(run) in [ready(count) for count in (5, 1, 4, 2)]
    assert run.topup("scale", "dispatcher=3").returncode == 0
    assert dispatchers(run) == ready(3)


def test_nothing_runs_of_what_is_scaled_to_none(run: Run) -> None:
    """And all of it again later; who asks is drained before who answers."""
    run.up()
    assert run.topup("scale", "ratelimiter=0", "ledger=0", "gateway=0").returncode == 0
    drained = run.journaled("drains")
    assert sorted(drained[:3]) == ["gateway-1", "gateway-2", "gateway-3"]
    assert drained[3:] == ["ledger-1", "ratelimiter-1"]
    left = {row["service"] for row in run.rows().values()}
    assert left.isdisjoint({"gateway", "ledger", "ratelimiter"})
    assert run.topup("scale", "gateway=3", "ledger=1", "ratelimiter=1").returncode == 0
    assert {row["state"] for row in run.rows().values()} == {"ready"}


def test_a_replica_that_backs_off_hinders_nobody(run: Run) -> None:
    """The next wish need not wait for it, and may take it away; the first is told."""
    run.up(STUB_REFUSES="dispatcher-4:1 no luck")
    with ThreadPoolExecutor() as pool:
        growing = pool.submit(run.topup, "scale", "dispatcher=4")
        until(lambda: dispatchers(run).get("dispatcher-4") == "backing_off")
        assert run.topup("scale", "dispatcher=2").returncode == 0
        first = growing.result()
    assert dispatchers(run) == ready(2)
    assert first.returncode == 1
    assert "dispatcher has 2, not 4: it was scaled again meanwhile" in first.stderr


def test_a_replica_that_cannot_start_is_named(run: Run) -> None:
    """Those that can are there; the exit status says that not all is as it was wished."""
    run.up(STUB_REFUSES="gateway-4:2 PORT is wrong")
    done = run.topup("scale", "gateway=5")
    assert done.returncode == 1
    assert done.stderr.startswith("topup: gateway-4 is not ready: ")
    assert len(done.stderr.splitlines()) == 1
    assert run.rows()["gateway-5"]["state"] == "ready"


def test_no_wish_is_taken_before_all_has_started(run: Run) -> None:
    """What the start still has to do would undo it."""
    go = run.folder.with_name("go")
    run.start(STUB_UNTIL=f"ledger-1:{go}")
    until(lambda: run.rows().get("ledger-1"))
    done = run.topup("scale", "dispatcher=1")
    assert (done.returncode, done.stderr) == (
        1,
        "topup: it is still starting; ask again once it is ready\n",
    )
    go.touch()
    until(lambda: "Ready in" in run.said())
    assert dispatchers(run) == ready(3)


async def test_who_did_not_finish_in_time_is_named(tmp_path: Path) -> None:
    """It was ended with work in flight: whoever scaled must know."""

    def job(service: str, number: int) -> Job:
        log = tmp_path / f"{number}.log"

        async def ready(_pid: int) -> bool:
            return log.exists() and bool(log.read_text())

        return Job(
            service=service,
            id=f"{service}-{number}",
            outlet=LogFile(log),
            launch=lambda: Launch(
                argv=[sys.executable, "-uc", DEAF],
                cwd=tmp_path,
                log=log,
                env={},
                parent_gone=SIGTERM,
            ),
            ready=ready,
            stop=SIGTERM,
            patience_s=0.1,
        )

    async with asyncio.TaskGroup() as tasks:
        scaling = Scaling(Plan(), Fleet(tasks, job, lambda _replica: None))
        scaling.open()
        started = await scaling.handle(Scale({"dispatcher": 2}))
        assert [row.state for row in started.rows] == ["ready", "ready"]
        ended = await scaling.handle(Scale({"dispatcher": 0}))
        assert ended == Answer(rows=[], killed=["dispatcher-1", "dispatcher-2"])
        assert (await scaling.handle(List())).rows == []
