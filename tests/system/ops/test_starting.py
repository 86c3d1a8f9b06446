"""What starting promises: all or a clear line, one supervisor a folder, keys that stay."""

import socket
import stat
from pathlib import Path

import pytest

from ops.embedded import valkey_server
from ops.supervisor.folder import read_assignments
from tests.system.ops.conftest import Run, alive, until
from tests.vouching import vouch_for

pytestmark = pytest.mark.system

LOGIN = {
    "LATCOM_USERNAME": "us",
    "LATCOM_PASSWORD": "secret",
    "LATCOM_DIST_API": "api",
    "LATCOM_USER_UID": "uid",
}
EVERYTHING = {
    *(f"gateway-{n}" for n in (1, 2, 3)),
    *(f"dispatcher-{n}" for n in (1, 2, 3)),
    *("ratelimiter-1", "ledger-1", "sandbox-1"),
    *("valkey", "valkey-limits", "postgres"),
}


def test_everything_is_ready_and_listed(run: Run) -> None:
    """`topup ps` shows each process with the ports where it is found."""
    run.up()
    rows = run.rows()
    assert set(rows) == EVERYTHING
    assert {row["state"] for row in rows.values()} == {"ready"}
    assert all(alive(row["pid"]) for row in rows.values())
    assert {rows[f"gateway-{n}"]["port"] for n in (1, 2, 3)} == {run.port}
    assert rows["dispatcher-1"]["port"] is None
    assert list(rows["ledger-1"]) == [
        "service", "id", "pid", "port", "instance_port", "state", "restarts",
    ]  # fmt: skip


def test_the_public_port_opens_only_when_all_are_ready(run: Run) -> None:
    """A topup is never taken before somebody can pay it out."""
    gate = run.folder.with_name("go")
    run.start(STUB_UNTIL=f"gateway-2:{gate}")
    until(lambda: run.rows().get("gateway-1", {}).get("state") == "ready")
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", run.port)) != 0
    gate.touch()
    until(lambda: "Ready in" in run.said())
    with socket.create_connection(("127.0.0.1", run.port), 5):
        pass


def test_a_start_that_waits_says_for_what(run: Run) -> None:
    """One clear line, once, and it goes on by itself when that is there."""
    gate = run.folder.with_name("go")
    problem = "Error 111 connecting to 127.0.0.1:1; start it, or correct LIMITER_REDIS_URL"
    waits = {"STUB_WAITS_FOR": f"ratelimiter-1:{problem}"}
    run.start(STUB_UNTIL=f"ratelimiter-1:{gate}", **waits)
    until(lambda: "ratelimiter-1 waits" in run.said())
    gate.touch()
    until(lambda: "Ready in" in run.said())
    told = [line.strip() for line in run.said().splitlines() if problem in line]
    assert told == [f"! ratelimiter-1 waits: {problem}"]


def test_a_second_supervisor_says_that_one_runs(run: Run) -> None:
    """Two on one folder would ruin its data."""
    first = run.up()
    second = run.start()
    assert second.wait(30) == 1
    assert f"it already runs (process {first.pid})" in run.said()
    assert set(run.rows()) == EVERYTHING


def test_a_taken_port_is_named_before_anything_starts(run: Run) -> None:
    """With what to type instead."""
    with socket.create_server(("127.0.0.1", run.port)):
        assert run.start().wait(30) == 1
    assert f"port {run.port} on 127.0.0.1" in run.said()
    assert "for example PORT=8081" in run.said()
    assert len(run.said().splitlines()) == 1
    assert not (run.folder / "postgres").exists()


def test_a_port_that_is_none_is_refused(run: Run) -> None:
    """In one line, as wrong usage."""
    for port in ("0", "65536", "http", "-1"):
        assert run.start(PORT=port).wait(30) == 2
        problem = f"topup: PORT is {port!r}, not a port; for example PORT=8081"
        assert run.said().splitlines()[-1] == problem


def test_an_address_that_is_none_is_refused_before_anything_starts(run: Run) -> None:
    """In one line that does not repeat the password in it."""
    for name in ("REDIS_URL", "LIMITER_REDIS_URL", "DATABASE_URL", "LATCOM_URL"):
        assert run.start(**{name: "user:password@somewhere"}).wait(30) == 2
        assert f"topup: {name} is not a" in run.said().splitlines()[-1]
    assert "password@somewhere" not in run.said()
    assert not run.folder.exists()


def test_a_provider_without_a_login_is_refused_before_anything_starts(run: Run) -> None:
    """What is missing is named, and no made-up login goes to somebody's provider."""
    given = {**LOGIN, "LATCOM_DIST_API": "", "LATCOM_USER_UID": ""}
    assert run.start(LATCOM_URL="https://provider.example", **given).wait(30) == 2
    (line,) = run.said().splitlines()
    assert line.startswith("topup: LATCOM_DIST_API, LATCOM_USER_UID must be set")
    assert not run.folder.exists()


def test_all_wrong_settings_are_refused_before_anything_starts(run: Run) -> None:
    """Each service's and the sandbox's, one line each, once."""
    wrong = {"QUEUE_CONCURRENCY": "x", "STREAM_PARTITIONS": "0", "SANDBOX_LATENCY": "slow"}
    assert run.start(**wrong, DATABASE_POOL_SIZE="1", DRAIN_TIMEOUT="x").wait(30) == 2
    said = [line.removeprefix("topup: ").split()[0] for line in run.said().splitlines()]
    assert sorted(said) == sorted((*wrong, "DATABASE_POOL_SIZE", "DRAIN_TIMEOUT"))
    assert not run.folder.exists()


@pytest.mark.parametrize("below", ["", "below"])
def test_a_data_folder_that_cannot_be_one_is_named(run: Run, below: str) -> None:
    """In one line, with what to type instead."""
    run.folder.write_text("a file")
    folder = run.folder / below
    assert run.start(TOPUP_DATA_DIR=str(folder)).wait(30) == 1
    (line,) = run.said().splitlines()
    assert f"the data folder {folder} cannot be used" in line
    assert "TOPUP_DATA_DIR=.topup-2" in line


def test_a_real_server_is_used_instead_of_an_embedded_one(run: Run, tmp_path: Path) -> None:
    """And nothing of ours is started beside it."""
    with valkey_server(tmp_path / "real") as url:
        run.up(REDIS_URL=url, LATCOM_URL="https://provider.example", **LOGIN)
        assert not {"valkey", "valkey-limits", "sandbox-1"} & set(run.rows())
        assert "topups are paid out for real" in run.said()
        vouch_for(url, partitions=1)  # the stub of a ledger does not
        assert run.topup("doctor").returncode == 0


def test_wrong_settings_stop_the_start_with_the_services_own_line(run: Run) -> None:
    """Nobody has to look for it in a log, and nothing is left running."""
    line = "QUEUE_CONCURRENCY is 'x'; for example QUEUE_CONCURRENCY=20"
    assert run.start(STUB_REFUSES=f"dispatcher-2:2 {line}").wait(30) == 2
    assert f"topup: {line}\n" in run.said()
    assert not any(alive(process["pid"]) for process in run.state()["processes"])


def test_data_that_no_try_can_mend_end_the_start(run: Run) -> None:
    """With the server's own reason, where its log is, and what to do."""
    first = run.up()
    first.terminate()
    assert first.wait(30) == 0
    (run.folder / "postgres" / "PG_VERSION").write_text("9\n")
    assert run.start().wait(60) == 1
    line = run.said().splitlines()[-1]
    assert line.startswith("topup: postgres does not start: ")
    assert "initialized by PostgreSQL version 9" in line
    assert str(run.folder / "logs" / "postgres.log") in line
    assert f"remove {run.folder} to start anew" in line
    assert not any(alive(process["pid"]) for process in run.state()["processes"])


def test_what_does_not_start_is_shown_with_its_last_lines(run: Run) -> None:
    """It is tried again and again, and `ps` says why it fails."""
    run.start(STUB_REFUSES="ledger-1:1 the database is on fire")
    until(lambda: run.rows().get("ledger-1", {}).get("restarts", 0) >= 2)
    until(lambda: "on fire" in run.topup("ps").stdout)
    assert "ledger-1 does not start, trying again: the database is on fire" in run.said()


def test_keys_are_drawn_once_and_kept(run: Run) -> None:
    """A merchant's script goes on working after a restart; nobody else can read it."""
    first = run.up()
    path = run.folder / "demo.env"
    keys = read_assignments(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys["TOPUP_URL"] == f"http://127.0.0.1:{run.port}"
    assert keys["TOPUP_CUSTOMER_ID"] == "ENVIADESPENSA_001"
    assert keys["TOPUP_API_KEY"].startswith("topup_")
    first.terminate()
    assert first.wait(30) == 0
    run.up(ADMIN_KEY="mine")
    assert read_assignments(path) == {**keys, "TOPUP_ADMIN_KEY": "mine"}


def test_no_secret_is_in_a_process_list(run: Run) -> None:
    """Passwords go by files and environments, which other users cannot read."""
    run.up()
    environment = run.state()["environment"]
    passwords = [environment["REDIS_URL"].split("@")[0].rpartition(":")[2]]
    passwords += [environment["DATABASE_URL"].split("@")[0].rpartition(":")[2]]
    passwords += list(read_assignments(run.folder / "demo.env").values())[1::2]
    for row in run.rows().values():
        line = Path(f"/proc/{row['pid']}/cmdline").read_bytes().decode()
        assert not any(password in line for password in passwords)
