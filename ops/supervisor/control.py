"""The supervisor's own door: one JSON line in, one JSON line out, on a socket only we may open."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from ops.errors import CommandFailed
from ops.supervisor.replica import Row

_LINE_BYTES_MAX: Final = 1_000_000
_ANSWER_S_MAX: Final = 600.0
_PROBLEM_CHARACTERS_MAX: Final = 200
NOT_RUNNING: Final = "nothing runs here; start it with: make run"


class List(msgspec.Struct, frozen=True, tag="list"):
    """Asks for every replica."""


class Scale(msgspec.Struct, frozen=True, tag="scale"):
    """Asks for so many replicas of each named service."""

    counts: dict[str, int]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The replicas as they are now, or why nothing was done.

    `killed` did not finish what they had in flight, and were ended.
    """

    rows: list[Row] = []
    killed: list[str] = []
    refusal: str | None = None
    status: int = 1


Request = List | Scale
Handle = Callable[[Request], Awaitable[Answer]]


def listen(path: Path) -> socket.socket:
    """Listen at the path; whatever an earlier run left there is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    _with_short_name(path, listener.bind)
    path.chmod(0o600)
    return listener


async def serve(listener: socket.socket, handle: Handle) -> asyncio.Server:
    """Answer requests until closed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = msgspec.json.decode(await reader.readline(), type=Request)
            said = await handle(request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            said = Answer(refusal=f"not a request: {str(problem)[:_PROBLEM_CHARACTERS_MAX]}")
        except CommandFailed as problem:
            said = Answer(refusal=str(problem), status=problem.status)
        except (OSError, ValueError):
            writer.close()
            return
        writer.write(msgspec.json.encode(said) + b"\n")
        writer.close()

    return await asyncio.start_unix_server(answer, sock=listener, limit=_LINE_BYTES_MAX)


def ask(path: Path, request: Request) -> Answer:
    """Ask the running supervisor; raises CommandFailed when there is none or it refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_S_MAX)
        try:
            _with_short_name(path, connection.connect)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            line = connection.makefile("rb").readline()
        except (FileNotFoundError, ConnectionError):
            raise CommandFailed(NOT_RUNNING) from None
        except OSError as error:
            raise CommandFailed(f"{path} cannot be asked: {error.strerror}") from None
    if not line:
        raise CommandFailed("what runs here is just stopping")
    answer = msgspec.json.decode(line, type=Answer)
    if answer.refusal is not None:
        raise CommandFailed(answer.refusal, status=answer.status)
    return answer


def _with_short_name(path: Path, use: Callable[[str], None]) -> None:
    """Name the socket through its opened folder: a socket's name may have 107 bytes only."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        use(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
