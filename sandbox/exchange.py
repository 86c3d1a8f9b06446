"""One request and its answer over raw ASGI, for thousands of calls a second; it can be cut too."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

BODY_BYTES_MAX: Final = 64 * 1024
RUBBISH: Final = b"<html><body>Gateway \xff\xfe says: {status: maybe"
TRANSPORT: Final = "transport"
"""Where in the scope's state the connection lies, for cutting it."""
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


class Exchange:
    """What was asked, and the one answer that it gets."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]

    def header(self, name: bytes) -> str:
        """Return a header's value, empty where it is missing."""
        return next((v.decode("latin-1") for n, v in self._scope["headers"] if n == name), "")

    def query(self, name: str) -> str:
        """Return a parameter's first value, empty where it is missing."""
        text: str = self._scope["query_string"].decode("latin-1")
        return parse_qs(text).get(name, [""])[0]

    async def body(self) -> bytes:
        """Return the body, cut off where no honest one ends."""
        parts: list[bytes] = []
        size = 0
        more = True
        while more and size <= BODY_BYTES_MAX:
            message = await self._receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
        return b"".join(parts)

    async def tell(self, status: int, body: object) -> None:
        """Answer in JSON."""
        await self.write(status, _encode(body))

    async def write(self, status: int, body: bytes) -> None:
        """Answer with these bytes."""
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def cut(self) -> None:
        """Answer nothing: reset the connection."""
        self._scope["state"][TRANSPORT].abort()
        while (await self._receive())["type"] != "http.disconnect":
            pass
