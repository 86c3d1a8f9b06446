"""POST and GET of topups: who asks → what → limit → accept → reply; each step may refuse."""

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from redis.exceptions import RedisError
from starlette.types import Receive

from services.gateway.answers import Reply, Served
from services.gateway.bus import Bus
from services.gateway.keys import Keyring
from services.gateway.limits import Limits
from services.gateway.merchant import replies
from services.gateway.merchant.admission import admit
from services.gateway.merchant.backlog import Backlog
from services.gateway.merchant.preferences import preferred_wait_s
from services.gateway.merchant.replies import TopupReply
from services.gateway.merchant.routing import Routing
from services.gateway.merchant.rules import Order, read_order
from services.gateway.merchant.topup_calls import ACCEPT, SHOW
from services.gateway.merchant.waiting import Waiting
from services.gateway.peers import Ledger, PeerSilent
from services.gateway.refusals import (
    IdempotencyMismatch,
    MaybeAccepted,
    NotFound,
    RateLimited,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from services.gateway.requests import Asked
from services.gateway.room import Room
from shared.bus.messages import Accepted
from shared.contracts.errors import Overloaded, Unverified
from shared.contracts.ids import mask_phone
from shared.contracts.keys import READ, WRITE
from shared.contracts.limits import BODY_BYTES_MAX
from shared.contracts.peers import ApiKey, LimitVerdict, TopupRow
from shared.contracts.states import SETTLED
from shared.runtime.clock import Clock
from shared.runtime.crashpoints import CrashPoint
from shared.web.guard import BodyTooLarge, read_body

REQUEST_S_MAX: Final = 5.0
FIND_AGAIN_S: Final = 0.2
VOUCHED_S_MAX: Final = 1.0
"""Ledgers look each quarter of a second; longer than this it is a loss, or none runs."""

log = structlog.get_logger()


class TopupRoutes:
    """What merchants may ask."""

    def __init__(  # noqa: PLR0913 - each is one of its steps
        self,
        *,
        keyring: Keyring,
        limits: Limits,
        backlog: Backlog,
        routing: Routing,
        bus: Bus,
        ledger: Ledger,
        waiting: Waiting,
        room: Room,
        clock: Clock,
        make_id: Callable[[], str],
        crash: CrashPoint,
        limit_default: int,
    ) -> None:
        self._keyring = keyring
        self._limits = limits
        self._backlog = backlog
        self._routing = routing
        self._bus = bus
        self._ledger = ledger
        self._waiting = waiting
        self._room = room
        self._clock = clock
        self._make_id = make_id
        self._crash = crash
        self._limit_default = limit_default

    def served(self) -> list[Served]:
        """Return the calls that are answered here."""
        return [Served(ACCEPT, self.accept), Served(SHOW, self.show)]

    async def accept(self, asked: Asked) -> Reply:
        """Accept a topup once; 202 when it is on disk, or 200 when its end was waited for."""
        started = self._clock.monotonic()
        key = admit(self._keyring, asked, scope=WRITE)
        body = await json_body(asked.headers, asked.receive)  # a slow client has no place yet
        with self._room:
            shown, headers = await self._accept(asked, key, body, started)
        wait_s = preferred_wait_s(asked.headers.get("prefer"))
        if wait_s is not None:
            shown, applied = await self._wait(shown, started + wait_s)
            headers = headers | ({"preference-applied": f"wait={wait_s}"} if applied else {})
        return Reply(shown.http_status, shown.encode(), headers)

    async def show(self, asked: Asked) -> Reply:
        """Answer a topup as it is now."""
        key = admit(self._keyring, asked, scope=READ)
        with self._room:
            reply = await self._find_soon(key.customer_id, asked.topup_id)
        if reply is None:
            raise NotFound("No topup of this customer has this id")
        return Reply(200, reply.encode())

    async def _accept(
        self, asked: Asked, key: ApiKey, body: bytes, started: float
    ) -> tuple[TopupReply, dict[str, str]]:
        order = read_order(
            body,
            customer_id=key.customer_id,
            key_header=asked.headers.get("idempotency-key"),
            providers=self._routing.providers,
        )
        lanes = await self._routing.lanes(order.request)
        self._backlog.check(lanes[0])
        limit_headers = await self._take_place(key)
        self._crash("gateway.after_limit")
        topup_id = self._make_id()
        accepted = await self._bus.accept(topup_id, order, lanes, deadline=started + REQUEST_S_MAX)
        self._crash("gateway.after_accept")
        if accepted.status == "mismatch":
            raise IdempotencyMismatch(
                "This Idempotency-Key was used for another request; "
                "send the same request again, or a new key",
                headers=limit_headers,
            )
        _log_accepted(asked, accepted, order)
        if accepted.status == "accepted" and accepted.accepted_at_ms is not None:
            shown = replies.of_order(accepted.id, order.request, accepted.accepted_at_ms)
            return shown, limit_headers
        replayed = {"idempotent-replayed": "true"} if accepted.id != topup_id else {}
        return await self._replayed(accepted, key), limit_headers | replayed

    # -- steps, in the order in which they may refuse ------------------------------------------

    async def _take_place(self, key: ApiKey) -> dict[str, str]:
        own = key.limit_per_minute
        limit = self._limit_default if own is None else own
        verdict = await self._limits.take(key.customer_id, limit)
        headers = limit_headers(verdict, limit)
        if verdict.allowed:
            return headers
        raise RateLimited(
            f"Too many topup requests. Maximum {limit} per minute.",
            headers={**headers, "retry-after": str(_seconds(verdict))},
        )

    async def _replayed(self, accepted: Accepted, key: ApiKey) -> TopupReply:
        """Show what the key was first used for, or what our own lost answer was about."""
        try:
            shown = await self._find(key.customer_id, accepted.id)
        except Unavailable as error:
            raise _accepted_unseen(accepted.id) from error
        if shown is None:
            raise _accepted_unseen(accepted.id)
        return shown

    async def _wait(self, shown: TopupReply, until: float) -> tuple[TopupReply, bool]:
        """Return the topup at rest, or as it is at `until`; and whether it could be waited for.

        It is accepted: whatever breaks here, the answer is a topup. A client that has closed its
        half may still listen, so nobody who waits is taken for gone before the time is over.
        """
        if shown.is_at_rest:
            return shown, True
        try:
            async with self._waiting.watch(shown.customer_id, shown.topup_id) as ended:
                shown = await self._find(shown.customer_id, shown.topup_id) or shown
                if shown.is_at_rest:
                    return shown, True
                seconds = max(until - self._clock.monotonic(), 0)
                await asyncio.wait({ended}, timeout=seconds)
            return await self._find_by(until, shown) or shown, True
        except (Overloaded, RedisError, OSError, Unavailable) as error:
            log.warning("not_waited", topup_id=shown.topup_id, problem=str(error))
            return shown, False

    async def _find_by(self, until: float, shown: TopupReply) -> TopupReply | None:
        """Find it, also where streams that have just come back are not believed yet."""
        while True:
            try:
                return await self._find(shown.customer_id, shown.topup_id)
            except Unavailable:
                if self._clock.monotonic() + FIND_AGAIN_S >= until:
                    raise
            await asyncio.sleep(FIND_AGAIN_S)

    async def _find_soon(self, customer_id: str, topup_id: str) -> TopupReply | None:
        """Find it; after a restart or new functions, wait a moment for a ledger's word."""
        until = self._clock.monotonic() + VOUCHED_S_MAX
        while True:
            try:
                return await self._find(customer_id, topup_id)
            except Unavailable as refusal:
                passes = isinstance(refusal.__cause__, Unverified)
                if not passes or self._clock.monotonic() + FIND_AGAIN_S >= until:
                    raise
            await asyncio.sleep(FIND_AGAIN_S)

    async def _find(self, customer_id: str, topup_id: str) -> TopupReply | None:
        """Return the topup from its record, else from the ledger; None for another customer's."""
        try:
            record = await self._bus.look(customer_id, topup_id)
        except Unverified as error:  # what it says may be older than what we have told
            booked = await self._booked(customer_id, topup_id)
            if booked is not None and booked.status in SETTLED:
                return replies.of_row(booked)
            raise _not_now() from error
        if record is not None:
            if record.request.customer_id != customer_id:
                return None
            lane = await self._bus.lane(customer_id, record.lane)
            return replies.of_record(record, lane, now_ms=self._clock.now_ms())
        row = await self._booked(customer_id, topup_id)
        return None if row is None else replies.of_row(row)

    async def _booked(self, customer_id: str, topup_id: str) -> TopupRow | None:
        try:
            return await self._ledger.topup(topup_id, customer_id=customer_id)
        except PeerSilent as error:
            raise _not_now() from error


def limit_headers(verdict: LimitVerdict, limit: int) -> dict[str, str]:
    """Say what the customer may still do, as the RateLimit draft writes it."""
    return {
        "ratelimit-policy": f'"customer";q={limit};w=60',
        "ratelimit": f'"customer";r={verdict.remaining};t={_seconds(verdict)}',
    }


def _seconds(verdict: LimitVerdict) -> int:
    return max(math.ceil(verdict.reset_ms / 1_000), 1)


async def json_body(
    headers: Mapping[str, str], receive: Receive, *, bytes_max: int = BODY_BYTES_MAX
) -> bytes:
    """Return a body that says that it is JSON.

    Raises:
        UnsupportedMediaType, TooLarge: it does not, or is cut off.
    """
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise UnsupportedMediaType("The header content-type must be application/json")
    try:
        return await read_body(receive, headers.get("content-length"), bytes_max=bytes_max)
    except BodyTooLarge:
        raise TooLarge(f"The body is larger than {bytes_max} bytes") from None


def _not_now() -> Unavailable:
    return Unavailable("The topup cannot be looked up right now; ask again")


def _accepted_unseen(topup_id: str) -> MaybeAccepted:
    return MaybeAccepted(
        "The topup was accepted, but cannot be shown right now. Ask for it by topup_id, "
        "or repeat it with the same Idempotency-Key",
        members={"topup_id": topup_id},
    )


def _log_accepted(asked: Asked, accepted: Accepted, order: Order) -> None:
    request = order.request
    log.info(
        "topup_accepted" if accepted.status == "accepted" else "topup_repeated",
        topup_id=accepted.id,
        customer_id=request.customer_id,
        provider=request.provider,
        amount_minor=request.amount_minor,
        currency=request.currency,
        phone=mask_phone(request.phone),
        **({"request_id": asked.request_id} if asked.request_id else {}),
    )
