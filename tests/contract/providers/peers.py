"""Hostile and helpful peers on loopback: a raw server that does exactly what a test says."""

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Self

import msgspec

BIG = 1_000_000_000


class Seen(msgspec.Struct, frozen=True):
    """One whole request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


async def until(is_so: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Look at each turn of the loop until it is so."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be so"
        await asyncio.sleep(0.001)


TOKEN = "token-of-the-peer"
LOGINS = ("/api/dislogin", "/oauth/token")
FIRST: dict[str, object] = {
    "/api/dislogin": {"access": TOKEN},
    "/oauth/token": {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 86_400},
    "/operators/auto-detect/phone/": {
        "operatorId": 9001,
        "supportsLocalAmounts": True,
        "denominationType": "RANGE",
        "destinationCurrencyCode": "MXN",
        "localMinAmount": 10,
        "localMaxAmount": 2_000,
    },
}
"""What is asked before a paying request, and answered well unless a test says otherwise."""

Act = Callable[["Peer", asyncio.StreamWriter], Awaitable[bool]]
"""Does something about a request; True: the connection goes on."""


class Peer:
    """Takes paying requests and acts them out one after the other; the last act is repeated."""

    def __init__(self, *acts: Act, logs_in: Act | None = None) -> None:
        self.acts = list(acts)
        self._first: dict[str, Act] = {path: tells(body) for path, body in FIRST.items()}
        if logs_in is not None:
            self._first |= dict.fromkeys(LOGINS, logs_in)
        self.requests: list[Seen] = []
        self.bytes_in: list[int] = []  # of each connection
        self.ended = 0
        self.bytes_out = 0
        self.connections: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def paths(self) -> list[str]:
        """Return the paths that were asked for."""
        return [request.path for request in self.requests]

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        number = len(self.connections)
        self.connections.append(writer)
        self.bytes_in.append(0)
        try:
            while await self._serve(number, reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.ended += 1
            writer.close()

    async def _serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        first = await reader.read(1)
        if not first:
            return False
        self.bytes_in[number] += 1
        head = first + await reader.readuntil(b"\r\n\r\n")
        self.bytes_in[number] += len(head) - 1
        start, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.bytes_in[number] += len(body)
        method, path, _ = start.split(" ")
        self.requests.append(Seen(method, path, headers, body))
        before = next((act for begin, act in self._first.items() if path.startswith(begin)), None)
        return await (before or self._act())(self, writer)

    def _act(self) -> Act:
        return self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]


def tells(body: object, status: int = 200, *, extra: bytes = b"") -> Act:
    """Answer honestly; bytes go out as they are."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)

    async def act(peer: Peer, writer: asyncio.StreamWriter) -> bool:
        head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(data)}\r\n".encode() + extra + b"\r\n"
        return await _write(peer, writer, head + data)

    return act


def says(data: bytes) -> Act:
    """Write these bytes, then close."""

    async def act(peer: Peer, writer: asyncio.StreamWriter) -> bool:
        await _write(peer, writer, data)
        return False

    return act


async def cuts(_peer: Peer, _writer: asyncio.StreamWriter) -> bool:
    """Close without an answer."""
    return False


async def resets(_peer: Peer, writer: asyncio.StreamWriter) -> bool:
    """Send a reset instead of an answer."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def is_silent(_peer: Peer, _writer: asyncio.StreamWriter) -> bool:
    """Answer nothing, for ever."""
    await asyncio.Event().wait()
    return False


async def floods(peer: Peer, writer: asyncio.StreamWriter) -> bool:
    """Answer with a gigabyte."""
    await _write(peer, writer, f"HTTP/1.1 200 OK\r\ncontent-length: {BIG}\r\n\r\n".encode())
    for _ in range(BIG // 65_536):
        await _write(peer, writer, b" " * 65_536)
    return False


async def floods_headers(peer: Peer, writer: asyncio.StreamWriter) -> bool:
    """Answer with headers that never end."""
    await _write(peer, writer, b"HTTP/1.1 200 OK\r\n")
    for _ in range(BIG // 65_536):
        await _write(peer, writer, b"x: " + b"y" * 65_531 + b"\r\n")
    return False


def never_ends(start: bytes, again: bytes) -> Act:
    """Begin like an answer, and go on with the same as fast as it is taken."""

    async def act(peer: Peer, writer: asyncio.StreamWriter) -> bool:
        await _write(peer, writer, start)
        for _ in range(BIG // (1_000 * len(again))):
            await _write(peer, writer, 1_000 * again)
        return False

    return act


async def dribbles(peer: Peer, writer: asyncio.StreamWriter) -> bool:
    """Answer a byte at a time, never to the end."""
    await _write(peer, writer, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await _write(peer, writer, b"1\r\n \r\n")
        await asyncio.sleep(0.02)


async def stalls_with_100(peer: Peer, writer: asyncio.StreamWriter) -> bool:
    """Answer only that an answer will come, again and again."""
    while True:
        await _write(peer, writer, b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.02)


async def _write(peer: Peer, writer: asyncio.StreamWriter, data: bytes) -> bool:
    writer.write(data)
    await writer.drain()
    peer.bytes_out += len(data)
    return True
