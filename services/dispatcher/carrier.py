"""One topup at a time: begin, ask the provider, then finish or park."""

import random
from collections.abc import Callable

import structlog

from services.dispatcher import metrics
from services.dispatcher.attempts import (
    ID_BYTES_MAX,
    Right,
    Sale,
    UnreadableEntry,
    read_sale,
)
from services.dispatcher.losses import answered, lost
from services.dispatcher.providers.adapter import Answer, NotSent, Provider, Unknown
from services.dispatcher.rules import (
    Finish,
    Park,
    after_inquiry,
    after_send,
    going_on,
    named,
    reference_of,
    tried,
)
from services.dispatcher.steps import StepFailed, Steps
from services.dispatcher.told import handing_of, outcome_of, work_of
from shared.bus.messages import Begun, Parking, Restoring
from shared.bus.reader import Entry
from shared.bus.topups import Topups
from shared.contracts import events
from shared.contracts.bookable import unbookable, unbookable_id
from shared.contracts.limits import DEAD_PAYLOAD_BYTES_MAX
from shared.contracts.states import Reason
from shared.contracts.tries import encode_try
from shared.runtime.clock import Clock
from shared.runtime.crashpoints import CrashPoint

log = structlog.get_logger()

Said = Callable[[], bytes]
"""Makes what is kept of an attempt; most attempts settle their topup, and it is never asked for."""


class Carrier:
    """Carries the topups of one lane in one partition through their attempts."""

    def __init__(  # noqa: PLR0913 - a composition: each part has a name and a place
        self,
        *,
        provider: Provider,
        topups: Topups,
        partition: int,
        steps: Steps,
        by: str,
        resend: bool,
        clock: Clock,
        crash: CrashPoint,
        on_held: Callable[[], None],
    ) -> None:
        self._on_held = on_held
        self._name = provider.facts.name
        self._log = log.bind(provider=self._name)
        self._provider = provider
        self._topups = topups
        self._partition = partition
        self._steps = steps
        self._by = by
        self._resend = resend
        self._clock = clock
        self._crash = crash

    async def carry(self, entry: Entry) -> int:
        """Begin and carry through one attempt; return how long to wait before the next, or 0."""
        try:
            sale = read_sale(entry)
        except UnreadableEntry as problem:
            await self._bury(entry, str(problem))
            return 0
        asked_at = self._clock.monotonic()
        work = work_of(sale)
        try:
            begun, durable = await self._steps.begin(work)
        except StepFailed as problem:
            await self._bury(entry, str(problem))
            return 0
        metrics.begin_replies(self._name, begun.status).inc()
        match begun.status:
            case "send" | "inquire" | "inquire_final":
                self._crash("dispatcher.after_begin")
                verdict, said = await self._verdict(sale, begun, asked_at, durable=durable)
                await self._conclude(sale, work.nonce, verdict, begun, said)
                return 0
            case "busy":
                return max(begun.after_ms, 1)
            case "held":
                self._on_held()
                return max(begun.after_ms, 1)
            case "lost":
                await self._restore_lost(sale)
                return 0
            case _:
                self._log.info("topup_not_begun", topup_id=sale.topup_id, reply=begun.status)
                return 0

    async def _verdict(
        self, sale: Sale, begun: Begun, asked_at: float, *, durable: bool
    ) -> tuple[Finish | Park, Said]:
        """Return what becomes of the topup, and what is kept of the attempt where it waits.

        Whatever breaks on the way, it may have been sent.
        """
        started = self._clock.monotonic()
        try:
            answer, verdict = await self._attempt(sale, begun, asked_at, durable=durable)
        except Exception as problem:
            log.exception("attempt_broke", topup_id=sale.topup_id, provider=self._name)
            answer = Unknown(reason=type(problem).__name__)
            verdict = self._judge(answer, begun)
        elapsed_ms = round((self._clock.monotonic() - started) * 1_000)
        return verdict, lambda: encode_try(
            tried(
                answer,
                attempt=begun.attempt,
                mode=begun.status,
                by=self._by,
                elapsed_ms=elapsed_ms,
            )
        )

    async def _attempt(
        self, sale: Sale, begun: Begun, asked_at: float, *, durable: bool
    ) -> tuple[Answer, Finish | Park]:
        if not durable:
            parked = Park(why="unasked", delay_ms=1_000, reason=Reason.NOT_SENT)
            return NotSent(reason="the attempt is not on all the disks it must be on"), parked
        right = Right(
            reference=reference_of(self._provider.facts, sale.topup_id, begun.sent),
            number=begun.attempt,
            asked_at=asked_at,
            lease_ms=begun.after_ms,
            clock=self._clock,
            crash=self._crash,
        )
        started = self._clock.monotonic()
        answer = await self._ask(sale, right, begun)
        self._crash("dispatcher.after_answer")
        elapsed = self._clock.monotonic() - started
        said = named(answer)
        metrics.call_seconds(self._name).observe(elapsed)
        metrics.attempts(self._name, said).inc()
        self._log.info(
            "attempt_finished",
            topup_id=sale.topup_id,
            mode=begun.status,
            attempt=begun.attempt,
            answer=said,
            elapsed_ms=round(elapsed * 1_000),
        )
        return answer, self._judge(answer, begun)

    def _judge(self, answer: Answer, begun: Begun) -> Finish | Park:
        facts, chance = self._provider.facts, random.random()  # noqa: S311 - spreads retries only
        if begun.status == "send":
            return after_send(
                answer, facts=facts, attempt=begun.attempt, by=self._by, chance=chance
            )
        return after_inquiry(
            answer,
            final=begun.status == "inquire_final",
            facts=facts,
            attempt=begun.attempt,
            by=self._by,
            chance=chance,
            resend=self._resend,
        )

    async def _ask(self, sale: Sale, right: Right, begun: Begun) -> Answer:
        try:
            if begun.status == "send":
                return await self._provider.send(sale, right)
            if not begun.sent:
                return Unknown("the record does not say which attempt was sent")
            return await self._provider.inquire(sale, right.reference)
        except Exception as problem:
            log.exception("adapter_failed", topup_id=sale.topup_id, provider=self._name)
            return Unknown(reason=type(problem).__name__, raw="")

    # -- out -----------------------------------------------------------------------------------

    async def _conclude(
        self, sale: Sale, nonce: str, verdict: Finish | Park, begun: Begun, said: Said
    ) -> None:
        if sale.route and await self._handed_on(sale, nonce, verdict, begun, said):
            return
        match verdict:
            case Finish():
                reply, state = await self._steps.finish(outcome_of(sale, nonce, verdict))
                if reply == "not_yet":
                    delay_ms = begun.after_ms
                    verdict = Park(why="not_found", delay_ms=delay_ms, reason=Reason.NOT_FOUND_YET)
                    await self._park(sale, nonce, verdict, said())
                    return
                self._crash("dispatcher.after_finish")
                if reply == "lost":
                    window_ms = self._topups.window_ms
                    await self._restore(
                        answered(sale, verdict, begun, by=self._by, window_ms=window_ms)
                    )
                else:
                    self._report(sale, reply, state)
            case Park():
                await self._park(sale, nonce, verdict, said())

    async def _handed_on(
        self, sale: Sale, nonce: str, verdict: Finish | Park, begun: Begun, said: Said
    ) -> bool:
        """Let another lane have what this one surely did not sell; tell whether one has it."""
        why = going_on(verdict, mode=begun.status)
        if why is None:
            return False
        reason = (isinstance(verdict, Park) and verdict.lane_reason) or verdict.reason
        handing = handing_of(sale, nonce, why=why, reason=reason, said=said())
        reply, lane = await self._steps.hand_on(handing)
        if reply != "moved":
            return False
        metrics.MOVED.labels(self._name, lane, why).inc()
        self._log.info("topup_moved", topup_id=sale.topup_id, why=why, to=lane)
        return True

    async def _park(self, sale: Sale, nonce: str, verdict: Park, said: bytes) -> None:
        self._crash("dispatcher.before_park")
        reply, delay_ms = await self._steps.park(
            Parking(
                id=sale.topup_id,
                key_hash=sale.key_hash,
                nonce=nonce,
                delay_ms=verdict.delay_ms,
                why=verdict.why,
                reason=verdict.reason,
                said=said,
                lane_reason=verdict.lane_reason,
            )
        )
        self._crash("dispatcher.after_park")
        if reply == "lost":
            await self._restore(lost(sale, by=self._by))
        self._log.info(
            "topup_parked",
            topup_id=sale.topup_id,
            why=verdict.why,
            reply=reply,
            delay_ms=delay_ms,
        )

    async def _restore_lost(self, sale: Sale) -> None:
        """Write down that there is such a topup, if the books can have it too."""
        found = lost(sale, by=self._by)
        problem = unbookable_id(sale.topup_id) or unbookable(found.request)
        if problem is None:
            await self._restore(found)
        else:
            self._log.error("entry_is_no_topup", problem=problem)

    async def _restore(self, restoring: Restoring) -> None:
        """Write down what we know of a topup whose record went with its server."""
        reply, state = await self._steps.restore(restoring)
        self._log.error("topup_restored", topup_id=restoring.id, reply=reply, state=state)

    def _report(self, sale: Sale, reply: str, state: str) -> None:
        if reply == "ok":
            ms = max(self._clock.now_ms() - sale.accepted_at_ms, 0)
            metrics.settle_seconds(self._name, state).observe(ms / 1_000)
            self._log.info("topup_settled", topup_id=sale.topup_id, state=state, elapsed_ms=ms)
        else:
            self._log.warning("outcome_not_taken", topup_id=sale.topup_id, reply=reply, state=state)

    async def _bury(self, entry: Entry, problem: str) -> None:
        metrics.BURIED.labels(self._name).inc()
        state = await self._topups.bury(
            self._partition,
            self._name,
            topup_id=_topup_id_in(entry),
            key_hash=events.key_hash_in(entry.fields.get("body", b"")),
            entry=entry.id,
            reason=f"unreadable: {problem}",
            payload=entry.fields.get("body", b"")[:DEAD_PAYLOAD_BYTES_MAX],
        )
        self._log.error("entry_buried", entry=entry.id, state=state)


def _topup_id_in(entry: Entry) -> str:
    """Return the id as text; one that is longer or no text names nothing, and need not."""
    return entry.fields.get("id", b"")[:ID_BYTES_MAX].decode(errors="replace")
