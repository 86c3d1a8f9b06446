"""The embedded servers start from whatever a crash left of their data."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from ops.children import Account, as_account
from ops.embedded import Running, postgres_server, valkey_server
from ops.errors import CommandFailed
from ops.servers.account import can_enter, server_account
from tests.system.ops.conftest import alive, until

pytestmark = pytest.mark.integration


def test_half_made_data_is_made_anew(tmp_path: Path) -> None:
    """A start that was killed in the middle does not block the next one."""
    half = tmp_path / "postgres.making-1234"
    half.mkdir()
    (half / "PG_VERSION").write_text("18")
    (tmp_path / "postgres.password").write_text("of the half")
    with postgres_server(tmp_path / "postgres") as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not list(tmp_path.glob("*making*"))


def test_a_start_killed_anywhere_leaves_a_folder_that_starts(tmp_path: Path) -> None:
    """Killed while the data is made, many times, at different moments."""
    code = "import sys; from pathlib import Path; from ops.servers.cluster import ensure_cluster; "
    code += "p = Path(sys.argv[1]); ensure_cluster(p, p.with_name('password'))"
    for delay_s in (0.05, 0.15, 0.25, 0.35):
        making = subprocess.Popen([sys.executable, "-c", code, tmp_path / "postgres"])
        try:
            making.wait(delay_s)
        except subprocess.TimeoutExpired:
            making.kill()
        making.wait(10)
    making = subprocess.Popen([sys.executable, "-c", code, tmp_path / "postgres"])
    assert making.wait(30) == 0
    assert (tmp_path / "postgres" / "PG_VERSION").exists()


def test_a_note_of_a_dead_postmaster_is_no_obstacle(tmp_path: Path) -> None:
    """Even when some other process has its id by now."""
    with postgres_server(tmp_path / "postgres"):
        pass
    note = tmp_path / "postgres" / "postmaster.pid"
    with subprocess.Popen(["sleep", "60"], **as_account(server_account())) as other:
        note.write_text(f"{other.pid}\n{note.parent}\n0\n5432\n\n127.0.0.1\n0 0\nready\n")
        with postgres_server(tmp_path / "postgres") as url, psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        other.kill()


def test_the_files_torn_end_is_cut_off(tmp_path: Path) -> None:
    """What was answered is there; the write that the crash tore was never answered."""
    with valkey_server(tmp_path / "valkey") as url, Redis.from_url(url) as redis:
        redis.set("booked", "once")
    journal = next((tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof"))
    with journal.open("ab") as out:
        out.write(b"*3\r\n$3\r\nSET\r\n$6\r\nboo")
    with valkey_server(tmp_path / "valkey") as url, Redis.from_url(url) as redis:
        assert redis.get("booked") == b"once"


def test_a_killed_server_revives_with_its_data(tmp_path: Path) -> None:
    """On the same address."""
    running = Running.valkey(tmp_path / "valkey")
    url = running.url
    with Redis.from_url(url) as redis:
        redis.set("booked", "once")
    running.kill()
    running.revive()
    assert running.url == url
    with Redis.from_url(url) as redis:
        assert redis.get("booked") == b"once"
    running.stop()


def test_servers_go_with_the_process_that_started_them(tmp_path: Path) -> None:
    """A test run that is killed leaves none behind."""
    code = (
        "import sys, time; from pathlib import Path; from ops.embedded import Running; "
        "p = Path(sys.argv[1]); v, d = Running.valkey(p / 'v'), Running.postgres(p / 'd'); "
        "print(v.pid, d.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        assert all(alive(pid) for pid in pids)
        starter.send_signal(signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids))


def test_durable_means_on_disk(tmp_path: Path) -> None:
    """Nothing that was answered may be lost or evicted."""
    with valkey_server(tmp_path / "valkey") as url, Redis.from_url(url) as redis:
        found = {**redis.config_get("append*"), **redis.config_get("maxmemory-policy")}
    assert (found["appendonly"], found["appendfsync"]) == ("yes", "always")
    assert found["maxmemory-policy"] == "noeviction"
    with postgres_server(tmp_path / "postgres") as url, psycopg.connect(url) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.execute(f"SHOW {name}").fetchone() == ("on",)
        assert connection.execute("SHOW max_connections").fetchone() == ("330",)


def test_data_that_went_away_is_not_replaced_by_nothing(tmp_path: Path) -> None:
    """An empty ledger in the place of a lost one would look as if all was well."""
    (tmp_path / "postgres").symlink_to(tmp_path / secrets.token_hex(4))
    with pytest.raises(CommandFailed, match="is gone from"), postgres_server(tmp_path / "postgres"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change its user")
def test_a_closed_home_stays_closed(tmp_path: Path) -> None:
    """PostgreSQL runs as its own user, though root's folder lets nobody in."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with postgres_server(home / "topup" / "postgres") as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "topup" / "postgres").is_symlink()


@pytest.mark.parametrize(
    ("mode", "account", "may"),
    [
        (0o711, Account(uid=4242, gid=4242), True),
        (0o700, Account(uid=4242, gid=4242), False),
        (0o710, Account(uid=4242, gid=os.getgid()), True),
        (0o611, Account(uid=os.getuid(), gid=4242), False),
    ],
)
def test_who_may_enter_a_folder(tmp_path: Path, mode: int, account: Account, may: bool) -> None:
    """By the bits of the folder itself; those above count as well."""
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    above = all(can_enter_by_bits(parent) for parent in folder.parents)
    assert can_enter(folder, account) is (may and above) or account.uid == os.getuid()


def can_enter_by_bits(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o001)


@pytest.mark.parametrize("lost", ["appendonlydir/*.manifest", "appendonlydir/*", "*"])
def test_accepted_topups_that_are_gone_are_not_replaced_by_none(tmp_path: Path, lost: str) -> None:
    """An empty server would forget who was paid already."""
    folder = tmp_path / "valkey"
    with valkey_server(folder):
        pass
    for path in folder.glob(lost):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(CommandFailed, match="is gone, or a part of it"):
        Running.valkey(folder)


def test_books_that_are_gone_are_not_replaced_by_empty_ones(tmp_path: Path) -> None:
    """Somebody moved the folder, and may bring it back."""
    folder = tmp_path / "postgres"
    with postgres_server(folder):
        pass
    (folder / "PG_VERSION").rename(tmp_path / "kept")
    with pytest.raises(CommandFailed, match="is gone, or a part of it"):
        Running.postgres(folder)
    (tmp_path / "kept").rename(folder / "PG_VERSION")
    with postgres_server(folder):
        pass
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(CommandFailed, match="is gone, or a part of it"):
        Running.postgres(folder)
