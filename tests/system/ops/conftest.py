"""A supervisor of stubs in a folder of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ops.ports import free_port

ROOT = Path(__file__).parents[3]
TOPUP = Path(sys.executable).with_name("topup")
FoundT = TypeVar("FoundT")


def until(look: Callable[[], FoundT], *, within_s: float = 30) -> FoundT:
    """Look again and again until something true is seen; return it."""
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not seen within {within_s} s: {seen!r}"
        time.sleep(0.02)
    return seen


class Run:
    """One folder, and the supervisors that are started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.journal = folder.with_name("journal")
        self.output = folder.with_name("output")
        self._all: list[subprocess.Popen[bytes]] = []

    def environ(self, **settings: str) -> dict[str, str]:
        ours = {
            "TOPUP_DATA_DIR": str(self.folder),
            "PORT": str(self.port),
            "STUB_JOURNAL": str(self.journal),
        }
        return {**os.environ, **ours, **settings}

    def start(self, **settings: str) -> subprocess.Popen[bytes]:
        """Start a supervisor and return at once."""
        with self.output.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.system.ops.stubbed"],
                cwd=ROOT,
                env=self.environ(**settings),
                stdout=out,
                stderr=out,
                process_group=0,
            )
        self._all.append(process)
        return process

    def up(self, **settings: str) -> subprocess.Popen[bytes]:
        """Start a supervisor and return when all is ready."""
        before = self.said().count("Ready in")
        process = self.start(**settings)
        until(lambda: process.poll() is not None or self.said().count("Ready in") > before)
        assert process.poll() is None, self.said()
        return process

    def said(self) -> str:
        return self.output.read_text() if self.output.exists() else ""

    def topup(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TOPUP, *words],
            env=self.environ(**settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return what `topup ps --json` says, by id; nothing when nothing runs."""
        done = self.topup("ps", "--json")
        return {row["id"]: row for row in json.loads(done.stdout)} if done.returncode == 0 else {}

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return found

    def journaled(self, word: str) -> list[str]:
        """Return the instances that wrote the word, in their order."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [line.split()[0] for line in lines if line.split()[1] == word]

    def end(self) -> None:
        for process in self._all:
            for _ in range(3):
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    time.sleep(0.05)  # two pending signals of one kind are one
            process.wait(30)


@pytest.fixture(autouse=True)
def _nothing_is_left_outside(tmp_path: Path) -> Iterator[None]:
    """Remove the data that had to go outside, since root's tests run in a closed folder."""
    yield
    for link in tmp_path.rglob("*"):
        if link.is_symlink():
            target = link.readlink()
            shutil.rmtree(target.parent if target.name == "data" else target, ignore_errors=True)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run that is ended, whatever the test left of it."""
    running = Run(tmp_path / "topup")
    yield running
    running.end()


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
