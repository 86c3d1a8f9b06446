"""The load generator: requests at a constant rate, or as fast as they are answered.

One process, one loop over `select`, whose timeouts are exact to the microsecond: an event loop of
whole milliseconds would be seen in every latency. Latency counts from when a request was *due*,
whether or not a connection was free, so a stall is felt by all whom it kept waiting. Every latency
is kept, so percentiles are exact. `bench.calibrate` shows how far it is from being the limit.
"""

import json
import select
import socket
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

ANSWER_S_MAX: Final = 30.0
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; `rate` is in requests a second, 0: as fast as they are answered.

    In `head` and `body` {number} stands for a number of 9 digits, {phone} for a valid phone.
    """

    port: int
    head: str
    body: str
    count: int
    first: int = 0
    rate: float = 0.0
    connections: int = 64
    id_field: str = "topup_id"
    ids: str = ""  # a file for the ids that were given


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What came back; seconds, and moments of the monotonic clock that all processes share."""

    statuses: dict[str, int]
    began: float
    last: float
    cpu_s: float
    latencies_ms: list[float]  # percentiles 1 to 99, 99.9 and the maximum

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return self.last - self.began

    @property
    def accepted(self) -> int:
        """How many are a topup now; 200 is one that has ended."""
        return self.statuses.get("202", 0) + self.statuses.get("200", 0)

    def ms(self, percent: int) -> float:
        """Return a whole percentile."""
        return self.latencies_ms[percent - 1]


class _Connection:
    """One kept connection that carries one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._got = b""

    def fileno(self) -> int:
        """Let `select` see it."""
        return self.socket.fileno()

    def ask(self, request: bytes, due: float) -> None:
        """Send one; its latency counts from `due`."""
        self.due = due
        self.socket.sendall(request)

    def hear(self) -> tuple[bytes, bytes] | None:
        """Return the status and the body once all of it is there."""
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionResetError("the server closed a connection")
        self._got += data
        end = self._got.find(_END)
        if end < 0:
            return None
        head = self._got[:end].lower()
        at = head.index(_LENGTH) + len(_LENGTH)
        stop = head.find(b"\r", at)
        length = int(head[at:] if stop < 0 else head[at:stop])
        if len(self._got) < end + 4 + length:
            return None
        body, self._got = self._got[end + 4 :], b""
        return head[9:12], body


class Generator:
    """Makes the requests of one offer."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._free = deque(_Connection(offer.port) for _ in range(offer.connections))
        self._busy: set[_Connection] = set()
        self._latencies = array("d")
        self._statuses: Counter[bytes] = Counter()
        self._ids: list[bytes] = []
        self._mark = f'"{offer.id_field}":"'.encode()
        self._asked = 0
        self._began = self._last = 0.0

    def run(self) -> Heard:
        """Make them all, and wait for their answers."""
        self._began = self._last = time.monotonic()
        while self._asked < self._offer.count or self._busy:
            wait_s = self._ask_what_is_due()
            self._hear(wait_s)
        if self._offer.ids:
            Path(self._offer.ids).write_bytes(b"\n".join(self._ids) + b"\n")
        used = time.process_time()
        return Heard(
            statuses={status.decode(): count for status, count in self._statuses.items()},
            began=self._began,
            last=self._last,
            cpu_s=used,
            latencies_ms=percentiles(self._latencies),
        )

    def _ask_what_is_due(self) -> float:
        """Send what is due on what is free; return how long until the next is."""
        offer, now = self._offer, time.monotonic()
        while self._free and self._asked < offer.count:
            due = self._began + self._asked / offer.rate if offer.rate else now
            if due > now:
                return due - now
            connection = self._free.popleft()
            connection.ask(self._request(offer.first + self._asked), due)
            self._busy.add(connection)
            self._asked += 1
        return ANSWER_S_MAX

    def _hear(self, wait_s: float) -> None:
        readable, _, _ = select.select(self._busy, (), (), wait_s)
        if not readable and wait_s == ANSWER_S_MAX:
            raise TimeoutError(f"no answer within {ANSWER_S_MAX} s")
        for connection in readable:
            answer = connection.hear()
            if answer is None:
                continue
            self._last = time.monotonic()
            self._latencies.append((self._last - connection.due) * 1_000)
            status, body = answer
            self._statuses[status] += 1
            if self._offer.ids and status in (b"200", b"202"):
                self._ids.append(self._id_in(body))
            self._busy.discard(connection)
            self._free.append(connection)

    def _id_in(self, body: bytes) -> bytes:
        at = body.index(self._mark) + len(self._mark)
        return body[at : body.index(b'"', at)]

    def _request(self, number: int) -> bytes:
        phone = f"55{10_000_000 + number * 7_919 % 80_000_000:08}"
        phone = phone[:-3] + "683" if phone[-3] == "9" else phone  # 9.. are the sandbox's faults
        head = self._offer.head.replace("{number}", f"{number:09}")
        body = self._offer.body.replace("{number}", f"{number:09}").replace("{phone}", phone)
        return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


def percentiles(latencies: Sequence[float]) -> list[float]:
    """Return the percentiles 1 to 99, 99.9 and the maximum of what was measured."""
    ordered = sorted(latencies)
    places = [*(n / 100 for n in range(1, 100)), 0.999, 1.0]
    return [ordered[min(int(place * len(ordered)), len(ordered) - 1)] for place in places]


def main() -> None:
    """Read an offer from standard input, write what was heard."""
    offer = msgspec.json.decode(sys.stdin.buffer.read(), type=Offer)
    sys.stdout.write(json.dumps(msgspec.to_builtins(Generator(offer).run())))


if __name__ == "__main__":
    main()
