"""What is measured: our whole stack as `make run` starts it, and each peer on such servers."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from bench.offer import Heard, Offer
from ops.embedded import Running as Server
from ops.ports import free_port
from tests.system.stack import ROOT, Running, _read_env

PEERS: Final = ROOT / "bench" / "peers"
PEER_PYTHON: Final = ROOT / ".venv" / "peers" / "bin" / "python"
NODE_MODULES: Final = PEERS / "bullmq" / "node_modules"
READY_S_MAX: Final = 30.0
BODY: Final = '{"phone":"{phone}","amount":10,"provider":"LATCOM"}'
OUTSIDE: Final = frozenset({"sandbox"})
"""What is no part of the product: its CPU is told apart."""

_BOOKED: Final = """
    SELECT coalesce(sum(transactions), 0)::bigint FROM totals
    WHERE quarter = 'epoch' AND kind IN ('succeeded', 'failed', 'unresolved')
"""
_PEER_TABLE: Final = """
    CREATE TABLE topups (topup_id text PRIMARY KEY, phone text NOT NULL, amount bigint NOT NULL,
                         provider text NOT NULL, status text NOT NULL, evidence json NOT NULL,
                         settled_at timestamptz NOT NULL DEFAULT now())
"""


class House(msgspec.Struct, frozen=True, kw_only=True):
    """Something that accepts topups over HTTP, pays them and books them."""

    name: str
    port: int
    path: str
    headers: dict[str, str]
    database_url: str
    sandbox_url: str
    pids: dict[str, int]
    booked_query: str
    ids_query: str
    ports: dict[str, int] = {}

    def offer(
        self, count: int, *, first: int, rate: float = 0.0, ids: str = "", **headers: str
    ) -> Heard:
        """Make so many topups by a load generator in a process of its own."""
        lines = [f"POST {self.path} HTTP/1.1", "host: bench", "content-type: application/json"]
        lines += [f"{name}: {value}" for name, value in (self.headers | headers).items()]
        head = "\r\n".join([*lines, "idempotency-key: order-{number}"]) + "\r\n"
        return offer(
            Offer(
                port=self.port, head=head, body=BODY, count=count, first=first, rate=rate, ids=ids
            )
        )

    @contextmanager
    def books(self) -> Iterator[psycopg.Connection[tuple[int]]]:
        """Open the database to look at."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            yield connection


def offer(what: Offer) -> Heard:
    """Run the load generator."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.offer"],
        cwd=ROOT,
        input=msgspec.json.encode(what),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Heard)


@contextmanager
def ours(folder: Path, **settings: str) -> Iterator[House]:
    """Start all of it; everything on, the limit out of the way."""
    common = {"RATE_LIMIT_PER_MINUTE": "1000000", "SANDBOX_LATENCY": "50"}
    running = Running(folder / "topup", {**common, **settings})
    try:
        rows = _rows(running)
        keys = _read_env(running.folder / "demo.env")
        state = msgspec.json.decode((running.folder / "state.json").read_bytes())
        ports = {row["id"]: row["port"] for row in rows if row["port"]}
        yield House(
            name="topup",
            port=running.port,
            path="/api/enviadespensa/topup",
            headers={"x-api-key": keys["TOPUP_API_KEY"], "x-admin-key": keys["TOPUP_ADMIN_KEY"]},
            database_url=state["environment"]["DATABASE_URL"],
            sandbox_url=f"http://127.0.0.1:{ports['sandbox-1']}",
            pids={row["id"]: row["pid"] for row in rows} | {"supervisor": running.process.pid},
            booked_query=_BOOKED,
            ids_query="SELECT topup_id::text FROM topups WHERE status = 'succeeded'",
            ports=ports,
        )
    finally:
        running.stop()


def _rows(running: Running) -> list[dict[str, Any]]:
    environ = {**os.environ, "TOPUP_DATA_DIR": str(running.folder)}
    command = [str(Path(sys.executable).with_name("topup")), "ps", "--json"]
    deadline = time.monotonic() + READY_S_MAX
    while True:
        found = subprocess.run(command, env=environ, check=True, capture_output=True)
        rows: list[dict[str, Any]] = msgspec.json.decode(found.stdout)
        if all(row["state"] in ("ready", "running", "up") for row in rows):
            return rows
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all ready: {rows}")
        time.sleep(0.2)


@contextmanager
def bullmq(folder: Path, *, in_flight: int) -> Iterator[House]:
    """Express and BullMQ: one web process, one worker."""
    here = PEERS / "bullmq"
    web, worker = (["node", str(here / name)] for name in ("web.mjs", "worker.mjs"))
    with _peer(folder, "express + BullMQ", web, worker, in_flight=in_flight) as house:
        yield house


@contextmanager
def faststream(folder: Path, *, in_flight: int) -> Iterator[House]:
    """FastAPI and FastStream: one web process, one worker."""
    here = PEERS / "faststream"
    web, worker = ([str(PEER_PYTHON), str(here / name)] for name in ("web.py", "worker.py"))
    with _peer(folder, "FastAPI + FastStream", web, worker, in_flight=in_flight) as house:
        yield house


@contextmanager
def _peer(
    folder: Path, name: str, web: list[str], worker: list[str], *, in_flight: int
) -> Iterator[House]:
    """Start a peer on servers with our settings, and our sandbox as its provider."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        valkey = Server.valkey(folder / "valkey")
        stack.callback(valkey.stop)
        postgres = Server.postgres(folder / "postgres")
        stack.callback(postgres.stop)
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(_PEER_TABLE)
        sandbox_port, port = free_port(), free_port()
        sandbox_url = f"http://127.0.0.1:{sandbox_port}"
        told = {"REDIS_URL": valkey.url, "DATABASE_URL": postgres.url, "PROVIDER_URL": sandbox_url}
        commands = {
            "sandbox": [sys.executable, "-m", "sandbox"],
            "worker": worker,
            "web": web,
        }
        environs = {
            "sandbox": {
                "PORT": str(sandbox_port),
                "SANDBOX_LATENCY": "50",
                "SANDBOX_TOKEN_LIFE": "24h",
            },
            "worker": {**told, "CONCURRENCY": str(in_flight)},
            "web": {**told, "PORT": str(port), "NODE_ENV": "production"},
        }
        processes = {}
        for kind, command in commands.items():
            log = stack.enter_context((folder / f"{kind}.log").open("wb"))
            processes[kind] = _start(command, environs[kind], log.fileno())
            stack.callback(_stop, processes[kind])
            if kind != "worker":
                _wait_for_port(port if kind == "web" else sandbox_port, processes[kind])
        yield House(
            name=name,
            port=port,
            path="/topup",
            headers={},
            database_url=postgres.url,
            sandbox_url=sandbox_url,
            pids={kind: process.pid for kind, process in processes.items()}
            | {"valkey": valkey.pid, "postgres": postgres.pid},
            booked_query="SELECT count(*) FROM topups",
            ids_query="SELECT topup_id FROM topups",
        )


def _start(command: list[str], environ: Mapping[str, str], log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environ}, stdout=log, stderr=log
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    import socket

    deadline = time.monotonic() + READY_S_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
