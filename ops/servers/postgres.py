"""PostgreSQL from its wheel, run as a plain child: no daemon, no permissions changed above it."""

import os
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT, Signals
from typing import Final

from ops.children import Launch
from ops.servers.cluster import Cluster, ensure_cluster
from ops.servers.server import Server

CONNECTIONS_MAX: Final = 330  # three ledgers with the default pool of 100, and room to look

# Small and quiet, so that it is not felt when nothing happens. Durability is never traded.
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": str(CONNECTIONS_MAX),
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_worker_processes": "2",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",
    "jit": "off",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def prepare(folder: Path, *, port: int, secrets: Path, parent_gone: Signals | None) -> Server:
    """Make the data folder if it is not there yet; `secrets` keeps the password, mode 600."""
    cluster = ensure_cluster(folder, secrets)
    _forget_dead_postmaster(cluster.data)
    return Server(
        name="postgres",
        port=port,
        url=f"postgresql://topup:{cluster.password}@127.0.0.1:{port}/postgres",
        lock=folder.with_name(f"{folder.name}.lock"),
        stop=SIGINT,
        ready=lambda pid: _is_ready(cluster.data, pid),
        launch=Launch(
            argv=_command(cluster, port),
            cwd=Path("/"),
            log=folder.with_name(f"{folder.name}.log"),
            env={"PATH": os.defpath, "LC_ALL": "C"},
            account=cluster.account,
            parent_gone=parent_gone,
        ),
    )


def _command(cluster: Cluster, port: int) -> Sequence[str]:
    settings = _SETTINGS | {"port": str(port)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(cluster.programs / "postgres"), "-D", str(cluster.data), *options]


def _is_ready(data: Path, pid: int) -> bool:
    """Read what the postmaster writes down for this purpose: its id first, its state last."""
    try:
        lines = (data / "postmaster.pid").read_text().split()
    except OSError:
        return False
    return bool(lines) and lines[0] == str(pid) and lines[-1] == "ready"


def _forget_dead_postmaster(data: Path) -> None:
    """Remove the note of a killed postmaster: another process may have its id by now.

    PostgreSQL itself would take that process for a running postmaster, and refuse to start.
    """
    note = data / "postmaster.pid"
    try:
        pid = note.read_text().split("\n", 1)[0]
    except OSError:
        return
    try:
        running = Path(f"/proc/{pid}/exe").readlink().name.startswith("postgres")
    except OSError:
        running = False
    if not running:
        note.unlink(missing_ok=True)
