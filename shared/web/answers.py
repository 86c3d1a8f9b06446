"""How an app's answer reaches the client: what is all there goes out in one write, one packet."""

from typing import Final

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from shared.web.problems import HeaderList

_OTHERWISE_FRAMED: Final = frozenset({b"connection", b"transfer-encoding"})


class Answering:
    """The `send` of one request; uvicorn's own writes the head as soon as it has it, by itself."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        """Hold the head back until the first of the body is there."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            whole = None if message.get("more_body") else self._whole(start, message)
            if whole is not None:
                self._write(whole)
                return
            await self._cycle.send(start)  # type: ignore[arg-type] # the same, named otherwise
        await self._cycle.send(message)  # type: ignore[arg-type]

    def _whole(self, start: Message, message: Message) -> bytes | None:
        """Return the answer's bytes; None where more is to be known or waited for than we do."""
        cycle, body = self._cycle, message.get("body", b"")
        if cycle.disconnected or cycle.flow.write_paused or cycle.scope["method"] == "HEAD":
            return None
        headers: HeaderList = start["headers"]
        if cycle.default_headers or (b"content-length", b"%d" % len(body)) not in headers:
            return None
        if not _OTHERWISE_FRAMED.isdisjoint([name for name, _ in headers]):
            return None
        lines = [b"%b: %b\r\n" % header for header in headers]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if not head.count(b"\r") == head.count(b"\n") == len(lines):
            return None  # uvicorn refuses what is more than one line
        return b"%b%b\r\n%b" % (STATUS_LINE[start["status"]], head, body)

    def _write(self, whole: bytes) -> None:
        cycle = self._cycle
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(whole)
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
