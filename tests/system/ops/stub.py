"""A stand-in for a service, for tests of the supervisor alone; told what to do by STUB_…."""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

ME = os.environ["INSTANCE_ID"]


def told(what: str) -> str | None:
    """Return what STUB_<WHAT>=<instance>:<value> says to this instance."""
    instance, _, value = os.environ.get(f"STUB_{what}", "").partition(":")
    return value if instance == ME else None


class Answer(BaseHTTPRequestHandler):
    """200 to everything, once STUB_UNTIL's file is there."""

    def do_GET(self) -> None:
        awaited = told("UNTIL")
        self.send_response(200 if awaited is None or Path(awaited).exists() else 503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        return


class Shared(ThreadingHTTPServer):
    """A listener on a port that other replicas may share."""

    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


def listen(port: str) -> None:
    server = Shared(("127.0.0.1", int(port)), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def journal(word: str) -> None:
    path = os.environ.get("STUB_JOURNAL")
    if path:
        with Path(path).open("a") as out:
            out.write(f"{ME} {word}\n")


def drain() -> None:
    """As a dispatcher does: what is in flight needs Valkey until its end."""
    journal("drains")
    slow = told("DRAINS_UNTIL")
    while slow is not None and not Path(slow).exists():
        threading.Event().wait(0.02)
    url = urlsplit(os.environ.get("REDIS_URL", ""))
    if url.port:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", url.port), 1):
            journal("finished")


def main(stopped: Callable[[], object]) -> None:
    refusal = told("REFUSES")
    if refusal is not None:
        status, _, words = refusal.partition(" ")
        sys.stderr.write(f"{words}\n")
        sys.exit(int(status))
    waits_for = told("WAITS_FOR")
    if waits_for is not None:
        line = json.dumps({"event": "redis_not_reached", "problem": waits_for})
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    if "INSTANCE_PORT" in os.environ:
        listen(os.environ["INSTANCE_PORT"])
    if "OPEN_ON_EOF_FD" in os.environ:
        os.read(int(os.environ["OPEN_ON_EOF_FD"]), 1)
    if "PORT" in os.environ:
        listen(os.environ["PORT"])
    stopped()
    drain()


if __name__ == "__main__":
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    main(stop.wait)
    os._exit(0)
