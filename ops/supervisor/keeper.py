"""Outlives the supervisor: stops the servers once it and the last draining service are gone.

Run by its path, with nothing imported of ours, so that it stays small. Standard input is a pipe
whose other end the supervisor and every service hold. Each line says `<pid> <signal>` of a server
that was started; the end of the input says that nobody is left who needs them.
"""

import contextlib
import os
import select
import signal
import sys

STOP_S_MAX = 60


def main() -> None:
    """Remember servers until the input ends, then stop them."""
    servers: list[tuple[int, int]] = []
    for line in sys.stdin:
        pid, number = map(int, line.split())
        with contextlib.suppress(ProcessLookupError):
            servers.append((os.pidfd_open(pid), number))
    for descriptor, number in servers:
        _send(descriptor, number)
    for descriptor, _number in servers:
        if not select.select([descriptor], [], [], STOP_S_MAX)[0]:
            _send(descriptor, signal.SIGKILL)


def _send(descriptor: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, number)


main()
