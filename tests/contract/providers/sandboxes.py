"""A real sandbox as a process of its own, and what a test asks of it beside the wires."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.ports import free_port

ROOT = Path(__file__).parents[3]
ACCESS = {
    "LATCOM_USERNAME": "reseller-name",
    "LATCOM_PASSWORD": 'pass"word-of-ours',
    "LATCOM_DIST_API": "dist-api-of-ours",
    "LATCOM_USER_UID": "user-uid-of-ours",
    "RELOADLY_CLIENT_ID": "client-id-of-ours",
    "RELOADLY_CLIENT_SECRET": 'client"secret-of-ours',
    "DTONE_API_KEY": "api-key-of-ours",
    "DTONE_API_SECRET": 'api"secret-of-ours',
    "DTONE_PRODUCT_ID": "20153",
}
READY_S_MAX = 20.0
FAST = {
    "SANDBOX_LATENCY": "2",
    "LATCOM_TIMEOUT": "1s",
    "RELOADLY_TIMEOUT": "1s",
    "DTONE_TIMEOUT": "1s",
}


class Sandbox:
    """One running sandbox."""

    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.process = process

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Make one request beside the wires."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()

    def book(self, reference: str = "") -> dict[str, Any]:
        """Return what it really paid."""
        return self.ask("GET", f"/book/{reference}" if reference else "/book")

    def kill(self) -> None:
        """End it without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


@contextmanager
def sandbox(port: int | None = None, **settings: str) -> Iterator[Sandbox]:
    """Start a sandbox that answers; end it afterwards."""
    port = port or free_port()
    process = run(PORT=str(port), **{**FAST, **settings})
    started = Sandbox(port, process)
    try:
        _until_ready(started)
        yield started
    finally:
        process.kill()
        process.communicate(timeout=10)


def run(**settings: str) -> subprocess.Popen[str]:
    """Start the process with nothing in its environment but these, and credentials to match."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox"],
        cwd=ROOT,
        env={**kept, **ACCESS, **settings},
        stderr=subprocess.PIPE,
        text=True,
    )


def _until_ready(started: Sandbox) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while True:
        try:
            assert started.ask("GET", "/health")["status"] == "healthy"
        except OSError:
            assert started.process.poll() is None, "the sandbox ended before it was ready"
            assert time.monotonic() < deadline, "the sandbox is not getting ready"
            time.sleep(0.02)
        else:
            return
