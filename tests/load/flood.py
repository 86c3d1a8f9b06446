"""Offers sales at a rate of its own, whatever becomes of those before: an overload."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec

from tests.chaos.merchant import Line, Sale

CONNECTIONS_MAX: Final = 4_000
ANSWER_S_MAX: Final = 15.0
ACCEPTED: Final = (200, 202)


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What one request got; status 0: nothing."""

    sale: Sale
    at_ms: int
    seconds: float
    status: int = 0
    retry_after: str | None = None
    topup_id: str | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether it is a topup now."""
        return self.status in ACCEPTED

    @property
    def is_known(self) -> bool:
        """Whether the merchant knows what became of it: accepted, or surely not."""
        return self.is_accepted or (self.status in (429, 503) and self.topup_id is None)

    def lines(self) -> list[Line]:
        """Write it as a line of a merchant's log; what is not known is asked for again."""
        asked = Line(self.at_ms, self.sale.key, "asked")
        if not self.is_known:
            return [asked, Line(self.at_ms, self.sale.key, "unanswered", self.status)]
        state = "queued" if self.is_accepted else None
        return [
            asked,
            Line(self.at_ms, self.sale.key, "answered", self.status, self.topup_id, state),
        ]


class Flood:
    """Connections to one address, as many as are needed; each carries one request at a time."""

    def __init__(self, port: int, api_key: str) -> None:
        self._port = port
        self._head = (
            "POST /api/enviadespensa/topup HTTP/1.1\r\nhost: gateway\r\n"
            f"x-api-key: {api_key}\r\ncontent-type: application/json\r\n"
        )
        self._free: deque[_Connection] = deque()
        self._open = 0

    async def pour(self, what: Sequence[Sale], *, per_s: float) -> list[Heard]:
        """Make each request once, when it is due; one that finds no connection gets nothing."""
        begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            asked = []
            for number, sale in enumerate(what):
                wait_s = begun + number / per_s - time.monotonic()
                if wait_s > 0 or number % 16 == 0:
                    await asyncio.sleep(max(wait_s, 0))
                asked.append(tasks.create_task(self.ask(sale)))
        return [task.result() for task in asked]

    async def keep_asking(self, what: Sequence[Sale], *, at_once: int) -> list[Heard]:
        """Make each request once, so many at a time: as fast as they are answered."""
        left, heard = deque(what), list[Heard]()

        async def one_by_one() -> None:
            while left:
                heard.append(await self.ask(left.popleft()))

        await asyncio.gather(*(one_by_one() for _ in range(at_once)))
        return heard

    async def ask(self, sale: Sale) -> Heard:
        """Make one request."""
        at_ms, started = time.time_ns() // 1_000_000, time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                connection = await self._connect()
                status, headers, body = await connection.ask(self._request(sale))
        except (OSError, TimeoutError):
            return Heard(sale=sale, at_ms=at_ms, seconds=time.monotonic() - started)
        if connection.is_open:
            self._free.append(connection)
        return Heard(
            sale=sale,
            at_ms=at_ms,
            seconds=time.monotonic() - started,
            status=status,
            retry_after=headers.get("retry-after"),
            topup_id=msgspec.json.decode(body).get("topup_id"),
        )

    def close(self) -> None:
        """Let go of the connections."""
        for connection in self._free:
            connection.close()

    async def _connect(self) -> "_Connection":
        while self._free:
            connection = self._free.pop()
            if connection.is_open:
                return connection
        if self._open >= CONNECTIONS_MAX:
            raise ConnectionRefusedError("all connections are taken")
        self._open += 1
        try:
            _, made = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self._closed), "127.0.0.1", self._port
            )
        except BaseException:
            self._open -= 1
            raise
        return made

    def _closed(self) -> None:
        self._open -= 1

    def _request(self, sale: Sale) -> bytes:
        body = f'{{"phone": "{sale.phone}", "amount": {sale.amount}, "provider": "LATCOM"}}'
        more = f"idempotency-key: {sale.key}\r\ncontent-length: {len(body)}\r\n\r\n"
        return (self._head + more + body).encode()


Answer = tuple[int, dict[str, str], bytes]


class _Connection(asyncio.Protocol):
    """One kept connection, as little of HTTP/1.1 as our own answers need."""

    def __init__(self, closed: Callable[[], None]) -> None:
        self.is_open = False
        self._tell_closed = closed
        self._got = b""
        self._waiting: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.is_open = cast("asyncio.Transport", transport), True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._tell_closed()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError("closed without an answer"))

    async def ask(self, request: bytes) -> Answer:
        """Send it; the caller gives up by closing."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiting
        except asyncio.CancelledError:
            self.close()
            raise

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, rest = self._got.partition(b"\r\n\r\n")
        if not found or self._waiting is None:
            return
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        length = int(headers["content-length"])
        if len(rest) < length:
            return
        self._got = rest[length:]
        if headers.get("connection") == "close":
            self.close()
        if not self._waiting.done():
            self._waiting.set_result((int(status.split(" ")[1]), headers, rest[:length]))

    def close(self) -> None:
        """Close at once."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()
