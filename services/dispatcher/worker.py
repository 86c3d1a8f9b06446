"""One lane of one replica: read what there is room for, begin, call, then finish or park."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from services.dispatcher import metrics
from services.dispatcher.attempts import Right, Sale, new_nonce, read_sale
from services.dispatcher.lanes import LaneWatch
from services.dispatcher.providers.adapter import Answer, Provider, Unknown
from services.dispatcher.rules import Finish, Park, after_inquiry, after_send
from services.dispatcher.slots import Slots
from services.dispatcher.steps import StepFailed, Steps
from shared.bus.reader import Entry, GroupReader
from shared.bus.topups import Begun, Outcome, Parking, Topups, Work
from shared.contracts import events
from shared.contracts.states import Reason
from shared.runtime.clock import Clock
from shared.runtime.crashpoints import CrashPoint

log = structlog.get_logger()

READ_BLOCK_MS: Final = 1_000
PATIENT_PER_SLOT: Final = 10
READ_AGAIN_S: Final = 0.5


class Lane:
    """The topups of one provider, of all partitions, that this replica has in hand.

    A topup in flight has a slot. One that must wait here (a live attempt of somebody else, a lane
    that has just been held) is *patient*: kept without a slot, and bounded too.
    """

    def __init__(  # noqa: PLR0913 - a composition: each part has a name and a place
        self,
        *,
        provider: Provider,
        topups: Topups,
        reader: GroupReader,
        steps: Sequence[Steps],
        slots: Slots,
        watch: LaneWatch,
        owner: str,
        resend: bool,
        clock: Clock,
        crash: CrashPoint,
    ) -> None:
        self.name = provider.facts.name
        self._provider = provider
        self._topups = topups
        self._partitions = {
            names.requests(self.name): partition for partition, names in enumerate(topups.keys)
        }
        self._reader = reader
        self._steps = steps
        self._slots = slots
        self._watch = watch
        self._owner = owner
        self._resend = resend
        self._clock = clock
        self._crash = crash
        self._tasks: set[asyncio.Task[None]] = set()
        self._patient: set[str] = set()

    # -- in ------------------------------------------------------------------------------------

    async def run(self, draining: asyncio.Event) -> None:
        """Take new topups off the lane until draining; then return with work still in flight."""
        while not draining.is_set():
            room = await self._slots.room()
            streams = [
                stream
                for stream, partition in self._partitions.items()
                if self._watch.startable(self.name, partition)
            ]
            if not streams:
                await self._watch.changed()
                continue
            each = max(room // len(streams), 1)
            entries = await self._read(streams, each)
            if entries:
                self._crash("dispatcher.after_read")
            for entry in entries:
                self._start(entry, has_slot=self._slots.take_now())

    async def claim(self) -> None:
        """Take over what silent dispatchers left, as far as there is room for patience."""
        for stream, partition in self._partitions.items():
            room = self._slots.size * PATIENT_PER_SLOT - len(self._patient)
            if room > 0:
                alive = self._topups.keys[partition].alive
                count_max = min(room, self._slots.size)
                self._adopt(await self._reader.claim(stream, alive, count_max=count_max))

    async def claim_lost(self, idle_ms: int) -> None:
        """Take what a task inside a living process has lost hold of."""
        for stream in self._partitions:
            entries = await self._reader.claim_lost(
                stream, idle_ms=idle_ms, count_max=self._slots.size
            )
            mine = {task.get_name() for task in self._tasks}
            self._adopt([entry for entry in entries if entry.id not in mine])

    async def drain(self) -> None:
        """Wait for what is in flight; what is patient stays pending, for others to claim."""
        while self._tasks:
            for task in self._tasks:
                if task.get_name() in self._patient:
                    task.cancel()
            await asyncio.wait(self._tasks, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)

    async def _read(self, streams: Sequence[str], count_max: int) -> list[Entry]:
        try:
            return await self._reader.read(streams, count_max=count_max, block_ms=READ_BLOCK_MS)
        except Exception as problem:  # noqa: BLE001 - the lane must outlive whatever Redis does
            log.warning("lane_unread", provider=self.name, problem=repr(problem))
        await asyncio.sleep(READ_AGAIN_S)
        with contextlib.suppress(Exception):  # the streams may be gone with a server that was lost
            await self._topups.prepare(self.name)
        return []

    def _adopt(self, entries: Sequence[Entry]) -> None:
        """Start what was claimed: it waits for its slot."""
        if entries:
            metrics.CLAIMED.labels(self.name).inc(len(entries))
            log.info("entries_claimed", provider=self.name, count=len(entries))
        for entry in entries:
            self._start(entry, has_slot=False)

    def _start(self, entry: Entry, *, has_slot: bool) -> None:
        task = asyncio.create_task(self._handle(entry, has_slot=has_slot), name=entry.id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- one topup -----------------------------------------------------------------------------

    async def _handle(self, entry: Entry, *, has_slot: bool) -> None:
        """Carry one delivery until it is settled, parked or somebody else's."""
        wait_ms = 0
        while True:
            if not has_slot:
                await self._be_patient(entry, wait_ms)
            try:
                wait_ms = await self._serve(entry)
            except Exception:
                log.exception("topup_abandoned", provider=self.name, entry=entry.id)
                return
            finally:
                self._slots.give_back()
                has_slot = False
            if not wait_ms:
                return

    async def _be_patient(self, entry: Entry, wait_ms: int) -> None:
        self._patient.add(entry.id)
        try:
            await asyncio.sleep(wait_ms / 1_000)
            await self._slots.take()
        finally:
            self._patient.discard(entry.id)

    async def _serve(self, entry: Entry) -> int:
        """Begin and carry through one attempt; return how long to wait before the next, or 0."""
        try:
            sale = read_sale(entry)
        except (KeyError, ValueError, msgspec.DecodeError) as problem:
            await self._bury(entry, str(problem))
            return 0
        asked_at = self._clock.monotonic()
        work = Work(id=sale.topup_id, entry=entry.id, key_hash=sale.key_hash, nonce=new_nonce())
        try:
            begun, durable = await self._steps_of(entry).begin(work)
        except StepFailed as problem:
            await self._bury(entry, str(problem))
            return 0
        metrics.BEGIN_REPLIES.labels(self.name, begun.status).inc()
        match begun.status:
            case "send" | "inquire" | "inquire_final":
                self._crash("dispatcher.after_begin")
                verdict = await self._attempt(sale, begun, asked_at, durable=durable)
                await self._conclude(sale, work.nonce, verdict, begun)
                return 0
            case "busy" | "held":
                return max(begun.after_ms, 1)
            case _:
                log.info("topup_not_begun", topup_id=sale.topup_id, reply=begun.status)
                return 0

    async def _attempt(
        self, sale: Sale, begun: Begun, asked_at: float, *, durable: bool
    ) -> Finish | Park:
        if not durable:
            return Park(why="not_sent", delay_ms=1_000, reason=Reason.NOT_SENT)
        right = Right(
            reference=sale.topup_id,
            number=begun.attempt,
            asked_at=asked_at,
            lease_ms=begun.after_ms,
            clock=self._clock,
            crash=self._crash,
        )
        started = self._clock.monotonic()
        answer = await self._ask(sale, right, begun.status)
        self._crash("dispatcher.after_answer")
        elapsed = self._clock.monotonic() - started
        named = type(answer).__name__
        metrics.PROVIDER_CALL_SECONDS.labels(self.name).observe(elapsed)
        metrics.ATTEMPTS.labels(self.name, named).inc()
        log.info(
            "attempt_finished",
            topup_id=sale.topup_id,
            mode=begun.status,
            attempt=begun.attempt,
            answer=named,
            elapsed_ms=round(elapsed * 1_000),
        )
        facts, chance = self._provider.facts, random.random()  # noqa: S311 - spreads retries only
        if begun.status == "send":
            return after_send(
                answer, facts=facts, attempt=begun.attempt, by=self._owner, chance=chance
            )
        return after_inquiry(
            answer,
            final=begun.status == "inquire_final",
            facts=facts,
            attempt=begun.attempt,
            by=self._owner,
            chance=chance,
            resend=self._resend,
        )

    async def _ask(self, sale: Sale, right: Right, mode: str) -> Answer:
        try:
            if mode == "send":
                return await self._provider.send(sale, right)
            return await self._provider.inquire(sale)
        except Exception as problem:
            log.exception("adapter_failed", topup_id=sale.topup_id, provider=self.name)
            return Unknown(reason=type(problem).__name__, raw="")

    # -- out -----------------------------------------------------------------------------------

    async def _conclude(self, sale: Sale, nonce: str, verdict: Finish | Park, begun: Begun) -> None:
        match verdict:
            case Finish():
                steps = self._steps_of(sale.entry)
                reply, state = await steps.finish(_outcome(sale, nonce, verdict))
                if reply == "not_yet":
                    delay_ms = begun.after_ms
                    verdict = Park(why="not_found", delay_ms=delay_ms, reason=Reason.NOT_FOUND_YET)
                    await self._park(sale, nonce, verdict)
                    return
                self._crash("dispatcher.after_finish")
                self._report(sale, reply, state)
            case Park():
                await self._park(sale, nonce, verdict)

    async def _park(self, sale: Sale, nonce: str, verdict: Park) -> None:
        self._crash("dispatcher.before_park")
        reply, delay_ms = await self._steps_of(sale.entry).park(
            Parking(
                id=sale.topup_id,
                key_hash=sale.key_hash,
                nonce=nonce,
                delay_ms=verdict.delay_ms,
                why=verdict.why,
                reason=verdict.reason,
            )
        )
        self._crash("dispatcher.after_park")
        log.info(
            "topup_parked",
            topup_id=sale.topup_id,
            why=verdict.why,
            reply=reply,
            delay_ms=delay_ms,
        )

    def _steps_of(self, entry: Entry) -> Steps:
        return self._steps[self._partitions[entry.stream]]

    def _report(self, sale: Sale, reply: str, state: str) -> None:
        if reply == "ok":
            seconds = max(self._clock.now_ms() - sale.accepted_at_ms, 0) / 1_000
            metrics.SETTLE_SECONDS.labels(self.name, state).observe(seconds)
            log.info("topup_settled", topup_id=sale.topup_id, state=state, elapsed_s=seconds)
        else:
            log.warning("outcome_not_taken", topup_id=sale.topup_id, reply=reply, state=state)

    async def _bury(self, entry: Entry, problem: str) -> None:
        metrics.BURIED.labels(self.name).inc()
        state = await self._topups.bury(
            self._partitions[entry.stream],
            self.name,
            topup_id=entry.fields.get("id", b"").decode(errors="replace"),
            key_hash=entry.fields.get("key", b"").decode(errors="replace"),
            entry=entry.id,
            reason=f"unreadable: {problem}",
            payload=entry.fields.get("body", b""),
        )
        log.error("entry_buried", provider=self.name, entry=entry.id, state=state)


def _outcome(sale: Sale, nonce: str, verdict: Finish) -> Outcome:
    return Outcome(
        id=sale.topup_id,
        key_hash=sale.key_hash,
        nonce=nonce,
        to=verdict.to,
        reason=verdict.reason,
        provider_reference=verdict.evidence.provider_reference or "",
        evidence=events.encode(verdict.evidence),
    )
