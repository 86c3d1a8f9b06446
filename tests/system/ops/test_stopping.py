"""What stopping promises: in order, at leisure, and never with the servers first."""

import os
import signal
from pathlib import Path

import pytest
from redis import Redis

from tests.system.ops.conftest import Run, alive, until

pytestmark = [pytest.mark.system, pytest.mark.long]


def test_two_signals_drain_in_order(run: Run) -> None:
    """A terminal and make both send one; who asks goes before who answers."""
    process = run.up()
    pids = [row["pid"] for row in run.rows().values()]
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    services = [instance.rpartition("-")[0] for instance in run.journaled("drains")]
    assert services == [
        *["gateway"] * 3, *["dispatcher"] * 3, "ledger", "ratelimiter", "sandbox",
    ]  # fmt: skip
    assert {"dispatcher-1", "gateway-1", "ledger-1"} <= set(run.journaled("finished"))
    assert not any(alive(pid) for pid in pids)
    assert run.rows() == {}


def test_only_the_third_signal_forces(run: Run) -> None:
    """A dispatcher that never finishes is not cut off by an impatient second Ctrl-C."""
    process = run.up(STUB_DRAINS_UNTIL="dispatcher-1:/never")
    stuck = run.rows()["dispatcher-1"]["pid"]
    process.send_signal(signal.SIGINT)
    until(lambda: "dispatcher-1" in run.journaled("drains"))
    process.send_signal(signal.SIGTERM)
    until(lambda: "still finishing" in run.said())
    assert alive(stuck)
    process.send_signal(signal.SIGHUP)  # of three kinds: two pending ones of a kind are one
    assert process.wait(30) == 0
    assert not alive(stuck)


def test_a_signal_while_starting_stops_too(run: Run) -> None:
    """Nothing is left running."""
    process = run.start(STUB_UNTIL="ledger-1:/never")
    until(lambda: run.rows().get("ledger-1", {}).get("pid"))
    process.terminate()
    assert process.wait(30) == 0
    assert not any(alive(process["pid"]) for process in run.state()["processes"])


def test_what_a_killed_supervisor_left_drains_and_the_next_takes_over(run: Run) -> None:
    """Services finish against a living Valkey; nothing is lost; the same keys, the same data."""
    go = run.folder.with_name("go")
    process = run.up(STUB_DRAINS_UNTIL=f"dispatcher-2:{go}")
    with Redis.from_url(run.state()["environment"]["REDIS_URL"]) as redis:
        redis.set("booked", "once")
    left = {name: row["pid"] for name, row in run.rows().items()}
    process.kill()
    process.wait(30)
    until(lambda: not alive(left["gateway-1"]))
    assert alive(left["dispatcher-2"])
    assert alive(left["valkey"])
    second = run.start()
    until(lambda: "an earlier run was killed" in run.said())
    go.touch()
    until(lambda: run.said().count("Ready in") == 2)
    assert "dispatcher-2" in run.journaled("finished")
    assert not any(alive(pid) for pid in left.values())
    with Redis.from_url(run.state()["environment"]["REDIS_URL"]) as redis:
        assert redis.get("booked") == b"once"
    second.terminate()
    assert second.wait(30) == 0


def test_the_servers_end_by_themselves_when_all_are_gone(run: Run) -> None:
    """A killed supervisor leaves nothing behind, even if nobody comes after it."""
    process = run.up()
    left = [row["pid"] for row in run.rows().values()]
    process.kill()
    process.wait(30)
    until(lambda: not any(alive(pid) for pid in left))
    assert "Received SIGTERM scheduling shutdown" in (run.folder / "logs/valkey.log").read_text()
    assert "database system is shut down" in (run.folder / "logs/postgres.log").read_text()


def test_servers_whose_keeper_was_killed_too_are_ended_by_the_next(run: Run) -> None:
    """The worst that can be done to us still ends in a clean start."""
    process = run.up()
    left = [row["pid"] for row in run.rows().values()]
    os.kill(_keeper_of(process.pid), signal.SIGKILL)
    process.kill()
    process.wait(30)
    run.up()
    assert not any(alive(pid) for pid in left)


def _keeper_of(supervisor: int) -> int:
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    keepers = [c for c in children if "keeper.py" in Path(f"/proc/{c}/cmdline").read_text()]
    return int(keepers[0])
