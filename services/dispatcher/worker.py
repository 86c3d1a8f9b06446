"""One lane of one replica: reads what there is room for, takes over, drains."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import structlog
from redis.exceptions import RedisError

from services.dispatcher import metrics
from services.dispatcher.carrier import Carrier
from services.dispatcher.lanes import LaneWatch
from services.dispatcher.slots import Slots
from shared.bus.reader import Entry, GroupReader
from shared.bus.topups import Topups
from shared.contracts.errors import NotKnown
from shared.runtime.crashpoints import CrashPoint
from shared.runtime.upkeep import take_each

log = structlog.get_logger()

READ_BLOCK_MS: Final = 1_000
PATIENT_PER_SLOT: Final = 10
READ_AGAIN_S: Final = 0.5
FEW: Final = 16
PAUSE_S: Final = 0.005
"""After a read that brought few: so the next one brings more, and begins more at once."""


class Lane:
    """The topups of one provider, of all partitions, that this replica has in hand.

    A topup in flight has a slot. One that must wait here (a live attempt of somebody else, a lane
    that has just been held) is *patient*: kept without a slot, and bounded too.
    """

    def __init__(  # noqa: PLR0913 - a composition: each part has a name and a place
        self,
        name: str,
        *,
        topups: Topups,
        reader: GroupReader,
        carriers: Sequence[Carrier],
        slots: Slots,
        watch: LaneWatch,
        draining: asyncio.Event,
        crash: CrashPoint,
    ) -> None:
        self.name = name
        self._topups = topups
        self._partitions = {
            names.requests(name): partition for partition, names in enumerate(topups.keys)
        }
        self._reader = reader
        self._carriers = carriers
        self._slots = slots
        self._watch = watch
        self._draining = draining
        self._crash = crash
        self._tasks: set[asyncio.Task[None]] = set()
        self._patient: set[str] = set()
        self._unsure: set[str] = set()

    # -- in ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take new topups off the lane until draining; then return with work still in flight.

        What no command can read together is read side by side: of several servers, one that is
        away holds up none of the others.
        """
        groups = self._reader.together(list(self._partitions))
        await asyncio.gather(*map(self._run, groups))

    async def _run(self, streams: Sequence[str]) -> None:
        while not self._draining.is_set():
            await self._take_back(streams)
            room = await self._slots.room()
            entries = await self._take(streams, room)
            if entries:
                self._crash("dispatcher.after_read")
            for entry in entries:
                self._start(entry, has_slot=self._slots.take_now())
            if 0 < len(entries) < FEW:
                await asyncio.sleep(PAUSE_S)

    async def claim(self) -> None:
        """Take over what silent dispatchers left, as far as there is room for patience."""
        await take_each(self._claim_from(*place) for place in self._partitions.items())

    async def claim_lost(self, idle_ms: int) -> None:
        """Take what a task inside a living process has lost hold of."""
        await take_each(self._claim_lost_from(stream, idle_ms) for stream in self._partitions)

    async def drain(self) -> None:
        """Wait for what is in flight; what is patient stays pending, for others to claim."""
        while self._tasks:
            for task in self._tasks:
                if task.get_name() in self._patient:
                    task.cancel()
            await asyncio.wait(self._tasks, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)

    async def _take(self, streams: Sequence[str], room: int) -> list[Entry]:
        """Return what there is room for, of partitions whose lane is open; of others a probe.

        More of these would only be told that the lane is held, and be patient here.
        """
        all_open = [
            stream for stream, at in self._partitions.items() if self._watch.is_open(self.name, at)
        ]
        is_open = [stream for stream in streams if stream in all_open]
        probed = [
            stream
            for stream in streams
            if stream not in all_open and self._watch.startable(self.name, self._partitions[stream])
        ]
        if not is_open and not probed:
            with contextlib.suppress(TimeoutError):  # a drain must not wait for a lost server
                await asyncio.wait_for(self._watch.changed(), READ_BLOCK_MS / 1_000)
            return []
        block_ms = None if is_open else READ_BLOCK_MS
        entries = await self._read(probed, 1, block_ms) if probed else []
        if is_open:
            each = max(room // len(all_open), 1)
            entries += await self._read(is_open, each, None if entries else READ_BLOCK_MS)
        return entries

    async def _read(
        self, streams: Sequence[str], count_max: int, block_ms: int | None
    ) -> list[Entry]:
        try:
            return await self._reader.read(streams, count_max=count_max, block_ms=block_ms)
        except Exception as problem:  # noqa: BLE001 - the lane must outlive whatever Redis does
            log.warning("lane_unread", provider=self.name, problem=repr(problem))
            self._unsure.update(streams)
        await asyncio.sleep(READ_AGAIN_S)
        with contextlib.suppress(Exception):  # the streams may be gone with a server that was lost
            for stream in streams:
                await self._topups.make_streams(self._partitions[stream], self.name)
        return []

    async def _claim_from(self, stream: str, partition: int) -> None:
        room = self._slots.size * PATIENT_PER_SLOT - len(self._patient)
        if room <= 0 or self._draining.is_set():
            return
        alive, count_max = self._topups.keys[partition].alive, min(room, self._slots.size)
        try:
            entries = await self._reader.claim(stream, alive, count_max=count_max)
        except NotKnown:
            self._unsure.add(stream)
            raise
        if entries:
            metrics.CLAIMED.labels(self.name).inc(len(entries))
            log.info("entries_claimed", provider=self.name, count=len(entries))
        self._adopt(entries)

    async def _claim_lost_from(self, stream: str, idle_ms: int) -> None:
        if not self._draining.is_set():
            self._adopt(
                await self._reader.claim_lost(stream, idle_ms=idle_ms, count_max=self._slots.size)
            )

    async def _take_back(self, streams: Sequence[str]) -> None:
        """After a lost answer: what was delivered with it is ours, and in no task's hands."""
        for stream in self._unsure.intersection(streams):
            self._unsure.discard(stream)
            try:
                self._adopt(await self._reader.pending(stream))
            except (RedisError, OSError) as problem:
                self._unsure.add(stream)
                log.warning("lane_not_taken_back", provider=self.name, problem=repr(problem))

    def _adopt(self, entries: Sequence[Entry]) -> None:
        """Start what is not in hand yet: it waits for its slot. Draining, it is left for others."""
        if self._draining.is_set():
            return
        mine = {task.get_name() for task in self._tasks}
        for entry in entries:
            if _name(entry) not in mine:
                self._start(entry, has_slot=False)

    def _start(self, entry: Entry, *, has_slot: bool) -> None:
        task = asyncio.create_task(self._handle(entry, has_slot=has_slot), name=_name(entry))
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
                wait_ms = await self._carriers[self._partitions[entry.stream]].carry(entry)
            except Exception:
                log.exception("topup_abandoned", provider=self.name, entry=entry.id)
                return
            finally:
                self._slots.give_back()
                has_slot = False
            if not wait_ms:
                return

    async def _be_patient(self, entry: Entry, wait_ms: int) -> None:
        self._patient.add(_name(entry))
        try:
            await asyncio.sleep(wait_ms / 1_000)
            await self._slots.take()
        finally:
            self._patient.discard(_name(entry))


def _name(entry: Entry) -> str:
    """Name a delivery; entries of two partitions may have the same id."""
    return f"{entry.stream} {entry.id}"
