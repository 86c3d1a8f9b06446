"""Docker's engine: the one that answers, else one of our own that leaves nothing behind."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

READY_S_MAX: Final = 60
STOP_S_MAX: Final = 60
NEEDED: Final = ("docker", "dockerd", "iptables", "debootstrap", "docker-compose")


class Engine:
    """Runs `docker` and `docker compose` against one engine."""

    def __init__(self, host: str | None) -> None:
        self.host = host
        self.environ = {**os.environ, "DOCKER_BUILDKIT": "0"}
        if host is not None:
            self.environ["DOCKER_HOST"] = host

    def run(
        self,
        *words: str | Path,
        within_s: float = 600,
        check: bool = True,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command line to its end; what it said stands in the failure."""
        done = subprocess.run(
            words,
            env={**self.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        said = f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert not check or done.returncode == 0, said[-8_000:]
        return done

    def docker(self, *words: str | Path) -> str:
        """Return what `docker …` printed."""
        return self.run("docker", *words).stdout.strip()

    def answers(self) -> bool:
        """Whether an engine is there."""
        return self.run("docker", "info", check=False, within_s=20).returncode == 0


def compose_command() -> list[str]:
    """Return how compose is called here: the plugin, else the program of its own."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


@contextmanager
def engine() -> Iterator[Engine]:
    """Yield the engine that answers, or start one with a folder of its own."""
    if lacking := [name for name in NEEDED if shutil.which(name) is None]:
        pytest.skip(
            f"no {', '.join(lacking)} here: apt-get install "
            "docker.io docker-compose iptables debootstrap"
        )
    usual = Engine(None)
    if usual.answers():
        yield usual
        return
    if os.geteuid() != 0:
        pytest.skip("no engine answers, and only root can start one")
    folder = Path(tempfile.mkdtemp(prefix="topup-docker-"))
    try:
        with _started(folder) as host:
            yield Engine(host)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(folder: Path) -> Iterator[str]:
    host = f"unix://{folder}/docker.sock"
    places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["dockerd", "--host", host, *(f"--{n}={folder / name}" for n, name in places.items())],
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, Engine(host), folder)
        yield host
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S_MAX)
        _remove_bridge()


def _wait(process: subprocess.Popen[bytes], started: Engine, folder: Path) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while not started.answers():
        ended = process.poll() is not None or time.monotonic() > deadline
        assert not ended, (folder / "log").read_text()[-4_000:]
        time.sleep(0.2)


def _remove_bridge() -> None:
    """The engine leaves its bridge; there was none before."""
    subprocess.run(["ip", "link", "delete", "docker0"], capture_output=True, check=False)
