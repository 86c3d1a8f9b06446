"""`make bench-gateway`: what a topup costs a gateway by itself, without sockets and other services.

Requests go into the connections of a real gateway as the loop would hand them over, and answers are
taken where they would be written; ratelimiter and streams say yes at once. The least of many rounds
is told, so that it can be compared on a busy machine, before and after a change.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

import uvloop

from services.gateway.app import Gateway
from services.gateway.settings import GatewaySettings
from shared.bus.messages import Acceptance, Accepted
from shared.contracts.peers import ApiKey, LimitReply, LimitRequest, LimitVerdict
from shared.runtime import logs
from shared.runtime.clock import SystemClock
from shared.runtime.instance import identify

CONNECTIONS: Final = 16
TURNS: Final = 40
ROUNDS: Final = 40
YES: Final = (True, 199, 60_000)
KEY: Final = "tk_" + "a" * 40
REQUEST: Final = (
    b"POST /api/m/topup HTTP/1.1\r\nhost: gateway\r\nx-api-key: %b\r\nidempotency-key: k-%d\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
)


class Wire(asyncio.Transport):
    """The client's end of a connection: counts what was accepted."""

    accepted = 0

    def write(self, data: Any) -> None:  # noqa: ANN401 - as asyncio has it
        """Take an answer."""
        assert data.startswith(b"HTTP/1.1 202 "), data
        self.accepted += 1

    def is_closing(self) -> bool:
        """Stay open."""
        return False

    def get_write_buffer_size(self) -> int:
        """Take all at once."""
        return 0

    def resume_reading(self) -> None:
        """Was never paused."""


class YesLimiter:
    """A ratelimiter with room for everybody."""

    async def check(self, request: LimitRequest) -> LimitReply:
        """Allow all."""
        await asyncio.sleep(0)
        return LimitReply([LimitVerdict(*YES) for _ in request.checks], 1)


async def _yes(
    _partition: int, _lane: str, items: Sequence[Acceptance], **_: object
) -> list[Accepted]:
    await asyncio.sleep(0)
    return [Accepted("accepted", item.id, time.time_ns() // 1_000_000) for item in items]


def _gateway() -> Gateway:
    nowhere = "http://127.0.0.1:1"
    settings = GatewaySettings(
        instance_port=1,
        redis_url="redis://127.0.0.1:1",
        ratelimiter_url=nowhere,
        ledger_url=nowhere,
    )
    gateway = Gateway(settings, identify("gateway", {}, started=0.0), SystemClock())
    hashed = sha256(KEY.encode()).hexdigest()
    inside: Any = gateway  # what a gateway learns at its start, and whom it asks
    inside._keyring._keys[hashed] = ApiKey(sha256=hashed, customer_id="C", merchant="m")  # noqa: SLF001 - as said above
    inside._keyring._confirmed = time.monotonic()  # noqa: SLF001 - as said above
    inside._limits._ratelimiter = YesLimiter()  # noqa: SLF001 - as said above
    inside._topups.accept = _yes  # noqa: SLF001 - as said above
    return gateway


async def _least_us() -> float:
    listener: Any = _gateway().listeners[0]
    ends = [(listener._protocol(), Wire()) for _ in range(CONNECTIONS)]  # noqa: SLF001 - in place of a socket
    for protocol, wire in ends:
        protocol.connection_made(wire)
    asked, took = 0, []
    for _ in range(ROUNDS):
        gc.collect()
        began = time.process_time()
        for _ in range(TURNS):
            for protocol, _wire in ends:
                asked += 1
                body = b'{"phone":"55663%05d","amount":10,"provider":"LATCOM"}' % (asked % 100_000)
                protocol.data_received(REQUEST % (KEY.encode(), asked, len(body), body))
            while sum(wire.accepted for _, wire in ends) < asked:  # noqa: ASYNC110 - turns of the loop are measured
                await asyncio.sleep(0)
        took.append((time.process_time() - began) / (TURNS * CONNECTIONS) * 1e6)
    return min(took)


def main() -> None:
    """Measure once."""
    shown = os.fdopen(os.dup(1), "w")
    os.dup2(
        os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
    )  # lines of the log cost, and tell nothing here
    logs.configure(level="INFO", instance_id="gateway-1")
    print(f"{uvloop.run(_least_us()):.1f} µs of CPU a topup", file=shown)


if __name__ == "__main__":
    main()
