"""Starts processes in groups of their own: a terminal's Ctrl-C reaches only the supervisor."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import IO, TypedDict

from msgspec import Struct

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Account(Struct, frozen=True):
    """A user id that a server runs under instead of root."""

    uid: int
    gid: int


class Credentials(TypedDict):
    """What `subprocess` takes to change the user of a child."""

    user: int | None
    group: int | None
    extra_groups: list[str | int] | None


def as_account(account: Account | None) -> Credentials:
    """Return the arguments that make a child run as the account and nothing else."""
    if account is None:
        return {"user": None, "group": None, "extra_groups": None}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


class Launch(Struct, frozen=True, kw_only=True):
    """One command line with all that must be set before it runs."""

    argv: Sequence[str]
    cwd: Path
    log: Path | int
    """Where both outputs go: a file to append to, or an open descriptor."""
    env: Mapping[str, str]
    account: Account | None = None
    parent_gone: Signals | None = None
    """Sent by the kernel when the thread that started it ends; None leaves it running."""
    pass_fds: Sequence[int] = ()
    reads: bytes = b""
    """Its standard input."""


def start(launch: Launch) -> subprocess.Popen[bytes]:
    """Start it; raises OSError when it cannot be run."""
    with _open(launch.log) as log, _holding(launch.reads) as reads:
        return subprocess.Popen(
            launch.argv,
            cwd=launch.cwd,
            env=launch.env,
            stdin=reads,
            stdout=log,
            stderr=log,
            process_group=0,
            pass_fds=launch.pass_fds,
            **as_account(launch.account),
            preexec_fn=_bind_to_parent(launch.parent_gone),  # noqa: PLW1509 - one prctl call
        )


@contextmanager
def _open(log: Path | int) -> Iterator[IO[bytes] | int]:
    if isinstance(log, int):
        yield log
        return
    with log.open("ab") as file:
        yield file


def _holding(data: bytes) -> IO[bytes]:
    """Return a file of memory, so that no disk has to be writable."""
    file = os.fdopen(os.memfd_create("stdin"), "w+b")
    file.write(data)
    file.seek(0)
    return file


def _bind_to_parent(parent_gone: Signals | None) -> Callable[[], None] | None:
    """Return what runs in the child after its user is set, since setting it would undo this."""
    if parent_gone is None:
        return None
    parent = os.getpid()

    def bind() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(parent_gone), 0, 0, 0)
        if os.getppid() != parent:  # it ended before we asked to be told
            os._exit(1)

    return bind
