"""What runs stays up: replicas and servers come back, with their data; their number is ours."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.system.ops.conftest import TOPUP, Run, alive, until
from tests.vouching import vouch_for

pytestmark = [pytest.mark.system, pytest.mark.long]


def _kill(run: Run, instance: str) -> None:
    os.kill(run.rows()[instance]["pid"], signal.SIGKILL)


def test_killed_replicas_are_back_at_once(run: Run) -> None:
    """Under the same ids, and counted; the others never notice."""
    run.up()
    before = run.rows()
    killed = ("gateway-2", "dispatcher-1", "ledger-1", "sandbox-1")
    for instance in killed:
        _kill(run, instance)
    until(lambda: all(run.rows()[instance]["restarts"] == 1 for instance in killed))
    until(lambda: all(row["state"] == "ready" for row in run.rows().values()))
    for name, row in run.rows().items():
        assert row["port"] == before[name]["port"]
        assert (row["pid"] == before[name]["pid"]) is (name not in killed)
        assert row["restarts"] == int(name in killed)


def test_killed_servers_are_back_with_their_data(run: Run) -> None:
    """On the same addresses, so that nobody has to be told."""
    run.up()
    urls = run.state()["environment"]
    with Redis.from_url(urls["REDIS_URL"]) as redis:
        redis.set("booked", "once")
    with psycopg.connect(urls["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE booked AS SELECT 'once' AS how")
    _kill(run, "valkey")
    _kill(run, "postgres")
    until(lambda: {run.rows()[name]["restarts"] for name in ("valkey", "postgres")} == {1})
    until(lambda: {run.rows()[name]["state"] for name in ("valkey", "postgres")} == {"ready"})
    with Redis.from_url(urls["REDIS_URL"]) as redis:
        assert redis.get("booked") == b"once"
    with psycopg.connect(urls["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT how FROM booked").fetchall() == [("once",)]


def test_scaling_starts_and_drains_replicas(run: Run) -> None:
    """New ones get new ports; those that go are asked to, not killed."""
    run.up()
    before = run.rows()
    done = run.topup("scale", "dispatcher=5", "gateway=1", "ratelimiter=2")
    assert done.returncode == 0, done.stderr
    rows = run.rows()
    assert {name for name in rows if name.startswith("dispatcher")} == {
        f"dispatcher-{n}" for n in range(1, 6)
    }
    assert {name for name in rows if name.startswith("gateway")} == {"gateway-1"}
    assert rows["ratelimiter-2"]["port"] == rows["ratelimiter-1"]["port"]
    assert {row["state"] for row in rows.values()} == {"ready"}
    assert sorted(run.journaled("drains")) == ["gateway-2", "gateway-3"]
    assert not alive(before["gateway-3"]["pid"])
    assert rows["dispatcher-1"]["pid"] == before["dispatcher-1"]["pid"]


def test_an_impossible_wish_changes_nothing(run: Run) -> None:
    """Not even the part of it that could be done."""
    run.up()
    before = run.rows()
    for wish, problem in (
        ("valkey=2", "valkey cannot be scaled, only"),
        ("sandbox=2", "sandbox cannot be scaled, only"),
        ("cashier=2", "cashier cannot be scaled, only"),
        ("gateway=65", "gateway=65 is not between 0 and 64"),
    ):
        done = run.topup("scale", "dispatcher=4", wish)
        assert done.returncode == 2
        assert problem in done.stderr
        assert "topup scale dispatcher=5" in done.stderr
    assert run.rows() == before


def test_doctor_sees_what_runs(run: Run) -> None:
    """And fails once accepted topups could be lost."""
    run.up()
    url = run.state()["environment"]["REDIS_URL"]
    vouch_for(url, partitions=1)  # the stub of a ledger does not
    done = run.topup("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    with Redis.from_url(url) as redis:
        redis.config_set("appendfsync", "everysec")
        redis.config_set("maxmemory-policy", "allkeys-lru")
        redis.config_set("hash-max-listpack-value", 64)
        redis.execute_command("FUNCTION", "FLUSH")
    done = run.topup("doctor")
    assert done.returncode == 1
    assert "appendfsync always" in done.stdout
    assert "maxmemory-policy noeviction" in done.stdout
    assert "set `hash-max-listpack-value 1024`" in done.stdout
    assert "run `topup migrate`" in done.stdout
    assert "5 of" in done.stderr


def test_nothing_but_the_owner_reaches_the_servers(run: Run) -> None:
    """A password stands before each of them."""
    run.up()
    with Redis(port=run.rows()["valkey"]["port"]) as redis, pytest.raises(RedisError):
        redis.ping()
    port = run.rows()["postgres"]["port"]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"postgresql://topup:wrong@127.0.0.1:{port}/postgres")


@contextmanager
def killed_after(process: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    """Kill the process then, or at the end: whoever reads what it says never waits for ever."""
    bound = threading.Timer(seconds, process.kill)
    bound.start()
    try:
        yield
    finally:
        bound.cancel()
        process.kill()


def test_logs_follow_what_is_written(run: Run) -> None:
    """Also of a log that was emptied meanwhile."""
    run.up()
    log = run.folder / "logs" / "gateway-2.log"
    log.write_text("an old line\n")
    command = [str(TOPUP), "logs", "gateway-2", "--tail", "1", "--follow"]
    with (
        subprocess.Popen(
            command, env=run.environ(), stdout=subprocess.PIPE, text=True
        ) as following,
        killed_after(following, 30.0),
    ):
        assert following.stdout
        assert following.stdout.readline() == "an old line\n"
        with log.open("a") as out:
            out.write("a new line\n")
        assert following.stdout.readline().endswith("a new line\n")
        log.write_text("anew\n")
        assert following.stdout.readline().endswith("anew\n")
        following.send_signal(signal.SIGINT)
        assert following.wait(10) == 130
