"""One place of the limit for each request: from the ratelimiter, else out of our own share."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from services.gateway import metrics
from services.gateway.peers import PeerSilent
from services.gateway.ratelimiter import Ratelimiter
from shared.contracts.peers import LimitCheck, LimitRequest, LimitVerdict
from shared.runtime.batching import Batcher
from shared.runtime.clock import Clock
from shared.web.health import Condition

WINDOW_MS: Final = 60_000
BEAT_S: Final = 2.0
RETRY_S: Final = 0.5

log = structlog.get_logger()


class Limits:
    """Asks in batches, one request in flight; does without while nobody answers.

    Without a ratelimiter each gateway lets through floor(limit / gateways), by the count that the
    ratelimiter last gave.
    """

    def __init__(self, ratelimiter: Ratelimiter, clock: Clock, *, gateway: str) -> None:
        self._ratelimiter = ratelimiter
        self._clock = clock
        self._gateway = gateway
        self._gateways: int | None = None
        self._silent = False
        self._asked = clock.monotonic()
        self._share = ShareWindow()
        self._take = Batcher(self._run)

    @property
    def gateways(self) -> int:
        """How many gateways there were when a ratelimiter last said so; at least this one."""
        return max(self._gateways or 1, 1)

    async def take(self, customer_id: str, limit: int) -> LimitVerdict:
        """Take one place, if one is free."""
        return await self._take(LimitCheck(customer_id, limit))

    async def hear(self) -> None:
        """Tell the ratelimiter that we are here, and learn how many we are.

        Raises:
            PeerSilent: no ratelimiter answers.
        """
        await self._ask([])

    async def keep_heard(self) -> None:
        """Be heard every `BEAT_S` until cancelled; while nobody answers, try oftener."""
        while True:
            await asyncio.sleep(RETRY_S if self._silent else BEAT_S)
            if not self._silent and self._clock.monotonic() - self._asked < BEAT_S:
                continue
            try:
                await self.hear()
            except PeerSilent as error:
                self._lost(error)

    async def check(self) -> Condition:
        """Return whether the one limit over all gateways is in force."""
        return Condition(
            connected=not self._silent,
            status="degraded" if self._silent else "healthy",
            details={"gateways": self._gateways},
        )

    async def _run(self, checks: Sequence[LimitCheck]) -> Sequence[LimitVerdict]:
        if not self._silent:
            try:
                return await self._ask(checks)
            except PeerSilent as error:
                self._lost(error)
        now_ms = int(self._clock.monotonic() * 1_000)
        return [
            self._share.take(check.customer_id, check.limit // self.gateways, now_ms=now_ms)
            for check in checks
        ]

    async def _ask(self, checks: Sequence[LimitCheck]) -> list[LimitVerdict]:
        reply = await self._ratelimiter.check(LimitRequest(self._gateway, list(checks)))
        self._gateways = reply.gateways
        self._asked = self._clock.monotonic()
        if self._silent:
            log.info("ratelimiter_found", gateways=reply.gateways)
            self._silent = False
            metrics.LIMITER_FALLBACK.set(0)
        return reply.verdicts

    def _lost(self, error: PeerSilent) -> None:
        if not self._silent:
            log.warning("ratelimiter_lost", problem=str(error), gateways=self._gateways)
            self._silent = True
            metrics.LIMITER_FALLBACK.set(1)


class ShareWindow:
    """A sliding window in one process; holds at most the share's number of times a customer."""

    def __init__(self) -> None:
        self._taken: dict[str, deque[int]] = {}

    def take(self, customer_id: str, share: int, *, now_ms: int) -> LimitVerdict:
        """Take a place if fewer than the share were taken in the last minute."""
        taken = self._taken.setdefault(customer_id, deque())
        while taken and taken[0] <= now_ms - WINDOW_MS:
            taken.popleft()
        allowed = len(taken) < share
        if allowed:
            taken.append(now_ms)
        first = taken[max(len(taken) - share, 0)] if taken and share > 0 else now_ms
        return LimitVerdict(allowed, max(share - len(taken), 0), first + WINDOW_MS - now_ms)
