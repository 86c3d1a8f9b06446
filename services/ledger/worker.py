"""One partition's bookkeeping: read, gather, book, commit, and only then acknowledge."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import psycopg
import stamina
import structlog
from redis.exceptions import RedisError, ResponseError

from services.ledger import metrics
from services.ledger.books import Booked, Books
from services.ledger.chain import Chain
from services.ledger.database import said
from services.ledger.overtaken import Overtaken
from services.ledger.sheets import UNBOOKABLE, Sheet, read_sheet
from shared.bus.reader import Entry, GroupReader
from shared.bus.topups import Topups
from shared.contracts.errors import NotDurable, TopupError
from shared.contracts.limits import BATCH_MAX, DEAD_PAYLOAD_BYTES_MAX
from shared.contracts.streams import LEDGER_GROUP, brings_acts, brings_outcomes
from shared.runtime.clock import Clock
from shared.runtime.crashpoints import CrashPoint
from shared.runtime.redis import Client

log = structlog.get_logger()

READ_BLOCK_MS: Final = 1_000
GATHER_S: Final = 0.25
"""A tenth of what a row may lag behind; who asks for one topup is told by its record."""
AGAIN_S: Final = 0.5
RETRY_S: Final = 0.1
RETRY_S_MAX: Final = 2.0
BOOK_S_MAX: Final = 12.0
"""Longer than a batch may wait for a lock; then nobody is at the other end, and we ask another."""
LOST_MS: Final = 60_000
ACK_ATTEMPTS: Final = 5
REASON_CHARACTERS_MAX: Final = 500

DoneT = TypeVar("DoneT")


class Bookkeeper:
    """Books the streams of one partition; nobody waits for it, so it lets entries gather."""

    def __init__(  # noqa: PLR0913 - a composition: each part has a name and a place
        self,
        partition: int,
        *,
        topups: Topups,
        providers: Sequence[str],
        reader: GroupReader,
        client: Client,
        books: Books,
        chain: Chain,
        overtaken: Overtaken,
        clock: Clock,
        draining: asyncio.Event,
        crash: CrashPoint,
    ) -> None:
        self._topups = topups
        self._partition = partition
        self._providers = providers
        self._names = topups.keys[partition]
        self._streams = [
            self._names.outcomes, self._names.acts, *map(self._names.requests, providers)
        ]  # fmt: skip
        self._reader = reader
        self._client = client
        self._books = books
        self._chain = chain
        self._overtaken = overtaken
        self._clock = clock
        self._draining = draining
        self._crash = crash

    async def run(self) -> None:
        """Book what arrives until draining; then what has arrived by then."""
        last_look = answer_lost = False
        while not last_look:
            last_look = self._draining.is_set()
            try:
                if answer_lost:
                    await self._take_back()
                    answer_lost = False
                entries = await self._gather(block=not last_look)
                if entries:
                    await self.book(entries)
            except Exception as problem:  # noqa: BLE001 - it must outlive whatever the servers do
                log.warning("bookkeeping_interrupted", problem=repr(problem))
                answer_lost = True
                await asyncio.sleep(AGAIN_S)
                await self._make_streams()

    async def take_over(self) -> None:
        """Book what silent ledgers left."""
        for stream in self._streams:
            entries = await self._reader.claim(stream, self._names.alive, count_max=BATCH_MAX)
            if entries:
                metrics.CLAIMED.inc(len(entries))
                log.info("entries_claimed", stream=stream, count=len(entries))
                await self.book(entries)

    async def take_lost(self) -> None:
        """Book what was delivered to somebody, us too, in an answer that never arrived."""
        for stream in self._streams:
            entries = await self._reader.claim_lost(stream, idle_ms=LOST_MS, count_max=BATCH_MAX)
            if entries:
                await self.book(entries)

    async def book(self, entries: Sequence[Entry]) -> None:
        """Return when the entries are booked, or set aside for people, and acknowledged.

        Raises:
            psycopg.Error, NotDurable: draining, and the database or a replica of the streams is
                away: they stay pending for others.
        """
        self._crash("ledger.after_read")
        if self._topups.replicas:
            entries = await self._kept(entries)
        sheet = read_sheet(entries)
        buried = {(entry.stream, entry.id) for entry, _ in sheet.unreadable}
        try:
            await self._commit(sheet)
        except UNBOOKABLE as problem:
            await self._book_apart(entries, problem)
            return
        for entry, reason in sheet.unreadable:
            await self._bury(entry, reason)
        self._crash("ledger.before_ack")
        await self._ack([entry for entry in entries if (entry.stream, entry.id) not in buried])

    async def _take_back(self) -> None:
        """After a lost answer: book what was delivered with it; it is ours, and in no batch."""
        for stream in self._streams:
            entries = await self._reader.pending(stream)
            for start in range(0, len(entries), BATCH_MAX):
                await self.book(entries[start : start + BATCH_MAX])

    async def _gather(self, *, block: bool) -> list[Entry]:
        """Return what there is; after the first entry, wait a little for its company."""
        entries: list[Entry] = []
        if block:
            entries = await self._reader.read(
                self._streams, count_max=BATCH_MAX, block_ms=READ_BLOCK_MS
            )
            if not entries or len(entries) >= BATCH_MAX:
                return entries
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), GATHER_S)
        entries += await self._reader.read(self._streams, count_max=BATCH_MAX, block_ms=None)
        return entries

    async def _commit(self, sheet: Sheet) -> None:
        if sheet.acts:
            appended = await self._patiently(lambda: self._chain.book(sheet.acts))
            metrics.ENTRIES.labels("act", "new").inc(appended)
            metrics.ENTRIES.labels("act", "known").inc(len(sheet.acts) - appended)
        started = self._clock.monotonic()
        if not sheet.requests and not sheet.outcomes:
            return
        booked = await self._patiently(
            lambda: self._books.book(
                sheet.requests,
                sheet.outcomes,
                reached=sheet.reached,
                before_commit=lambda: self._crash("ledger.before_commit"),
            )
        )
        self._crash("ledger.after_commit")
        await self._patiently(lambda: self._overtaken.close(sheet.outcomes))
        metrics.BOOK_SECONDS.observe(self._clock.monotonic() - started)
        self._count(sheet, booked)

    async def _patiently(self, commit: Callable[[], Awaitable[DoneT]]) -> DoneT:
        """Commit, however long the database is away: the batch is safe in our hands meanwhile."""
        async for attempt in stamina.retry_context(
            on=self._may_pass,
            attempts=None,
            timeout=None,
            wait_initial=RETRY_S,
            wait_max=RETRY_S_MAX,
        ):
            with attempt:
                async with asyncio.timeout(BOOK_S_MAX):
                    return await commit()
        raise AssertionError("it returns or raises")

    async def _kept(self, entries: Sequence[Entry]) -> list[Entry]:
        """Wait until no failover can undo the entries: the books must hold nothing that was."""
        async for attempt in stamina.retry_context(
            on=lambda problem: isinstance(problem, NotDurable) and not self._draining.is_set(),
            attempts=None,
            timeout=None,
            wait_initial=RETRY_S,
            wait_max=RETRY_S_MAX,
        ):
            with attempt:
                return await self._reader.keep(entries, replicas=self._topups.replicas)
        raise AssertionError("it returns or raises")

    def _may_pass(self, problem: Exception) -> bool:
        passing = isinstance(problem, (psycopg.Error, OSError))
        return passing and not isinstance(problem, UNBOOKABLE) and not self._draining.is_set()

    async def _book_apart(self, entries: Sequence[Entry], problem: psycopg.Error) -> None:
        """Find the entry that the database refuses, by halves, and bury it alone."""
        if len(entries) == 1:
            await self._bury(entries[0], said(problem))
            return
        middle = len(entries) // 2
        await self.book(entries[:middle])
        await self.book(entries[middle:])

    async def _bury(self, entry: Entry, reason: str) -> None:
        """Copy an entry for people and acknowledge it, in one step; its topup is not ended.

        To end it is for the dispatcher, who reads the same lane.
        """
        kind = self._kind(entry)
        log.error("entry_buried", stream=entry.stream, entry=entry.id, reason=reason)
        metrics.ENTRIES.labels(kind, "dead").inc()
        server = await self._client.at(self._names.dead)
        async with server.pipeline(transaction=True) as pipe:
            pipe.xadd(
                self._names.dead,
                {
                    "id": entry.fields.get("id", b"")[:64],
                    "lane": entry.stream.rsplit(":", 1)[-1],
                    "reason": reason[:REASON_CHARACTERS_MAX],
                    "payload": entry.fields.get("body", _written(entry))[:DEAD_PAYLOAD_BYTES_MAX],
                    "entry": entry.id,
                },
            )
            pipe.xack(entry.stream, LEDGER_GROUP, entry.id)
            await pipe.execute()

    async def _ack(self, entries: Sequence[Entry]) -> None:
        """Acknowledge: what these entries ask for is committed."""
        async for attempt in stamina.retry_context(
            on=(RedisError, OSError), attempts=ACK_ATTEMPTS, timeout=None, wait_max=RETRY_S_MAX
        ):
            with attempt:
                await self._reader.ack(entries)

    async def _make_streams(self) -> None:
        """Make streams and groups again where a server came back without its data."""
        with contextlib.suppress(RedisError, OSError, TopupError, ResponseError):
            for provider in self._providers:
                await self._topups.make_streams(self._partition, provider)

    def _kind(self, entry: Entry) -> str:
        if brings_acts(entry.stream):
            return "act"
        return "outcome" if brings_outcomes(entry.stream) else "request"

    def _count(self, sheet: Sheet, booked: Booked) -> None:
        known = len(sheet.outcomes) - booked.outcomes
        metrics.ENTRIES.labels("request", "new").inc(booked.requests)
        metrics.ENTRIES.labels("outcome", "new").inc(booked.outcomes)
        metrics.ENTRIES.labels("outcome", "known").inc(known)
        metrics.BATCH_ENTRIES.observe(len(sheet.requests) + len(sheet.outcomes))
        oldest_ms = min(
            [one.settled_at_ms for one in sheet.outcomes]
            + [one.accepted_at_ms for one in sheet.requests]
        )
        metrics.LAG_SECONDS.set(max(self._clock.now_ms() - oldest_ms, 0) / 1_000)
        for one in sheet.outcomes:
            provider = one.provider or one.request.body.provider
            log.info(
                "topup_booked",
                topup_id=one.request.topup_id,
                provider=provider,
                state=one.state,
                seq=one.seq,
            )
        if booked.set_aside:
            metrics.SET_ASIDE.inc(booked.set_aside)
            log.error("entries_set_aside", count=booked.set_aside)


def _written(entry: Entry) -> bytes:
    """Return what an entry without a body says, for people."""
    return b"\n".join(b"%b=%b" % (name.encode(), value) for name, value in entry.fields.items())
