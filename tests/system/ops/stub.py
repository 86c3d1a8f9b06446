"""A stand-in for a service, for tests of the supervisor alone: ready at once, drains on SIGTERM."""

import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answer(BaseHTTPRequestHandler):
    """200 to everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        return


class Shared(ThreadingHTTPServer):
    """A listener on a port that other replicas share."""

    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


def listen(port: str) -> None:
    threading.Thread(target=Shared(("127.0.0.1", int(port)), Answer).serve_forever).start()


if __name__ == "__main__":
    if os.environ.get("STUB_FAILS"):
        sys.exit(os.environ["STUB_FAILS"])
    import signal

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if "INSTANCE_PORT" in os.environ:
        listen(os.environ["INSTANCE_PORT"])
    if "OPEN_ON_EOF_FD" in os.environ:
        os.read(int(os.environ["OPEN_ON_EOF_FD"]), 1)
    if "PORT" in os.environ:
        listen(os.environ["PORT"])
    stop.wait()
    sys.stdout.write("drained\n")
    sys.stdout.flush()
    os._exit(0)
