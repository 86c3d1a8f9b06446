"""Any order of deliveries, deaths, lost answers and late wake-ups: nothing lost, paid at most once.

Three dispatchers work one lane as the real ones do (`services.dispatcher.rules` judges for them),
against a provider that keeps a book. Hypothesis draws what happens next; time is moved, not waited.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from services.dispatcher.providers.adapter import (
    Answer,
    Delivered,
    Facts,
    NotFound,
    NotSent,
    Refused,
    Unknown,
)
from services.dispatcher.rules import Finish, after_inquiry, after_send
from shared.bus.reader import Entry, GroupReader
from shared.contracts.states import SETTLED, State
from shared.contracts.streams import DISPATCHER_GROUP
from shared.runtime.redis import connect
from tests.integration.bus.bench import BODY, LANE, LEASE_MS, QUARANTINE_MS, Bench
from tests.vouching import vouch_for

pytestmark = pytest.mark.integration

KINDS = ["neither", "inquiry", "dedupes", "dedupes+inquiry"]
ROUNDS_MAX = 60
THINGS = ["accept", "read", "again", "send", "send", "conclude", "conclude", "die", "claim", "pass"]
Step = tuple[str, int, int]


class Attempt(msgspec.Struct):
    """What one dispatcher is doing for one topup."""

    entry: Entry
    nonce: str
    mode: str
    number: int
    lease_ms: int
    began_ms: int
    answer: Answer | None = None


class Worker:
    """A dispatcher's memory; dying is to lose it and to come back under another name."""

    def __init__(self, place: int) -> None:
        self.place, self.boot = place, 0
        self.holds: list[Entry] = []
        self.doing: list[Attempt] = []

    @property
    def name(self) -> str:
        """The owner: the same instance is another owner after its death."""
        return f"d{self.place}-{self.boot}"


class World:
    """Three dispatchers, a provider, and the time that passed."""

    def __init__(self, bench: Bench, kind: str) -> None:
        self.bench = bench
        bench.kind = kind
        self.facts = Facts(
            name=LANE,
            dedupes_on_reference="dedupes" in kind,
            inquiry="inquiry" in kind,
            visible_after_ms=0 if "inquiry" in kind else None,
            connect_timeout_ms=1,
            login_timeout_ms=1,
            answer_timeout_ms=1,
        )
        self.workers = [Worker(place) for place in range(3)]
        self.accepted: list[str] = []
        self.paid: dict[str, int] = {}
        self.passed_ms = 0
        self._nonces = itertools.count()

    async def step(self, thing: str, who: int, chance: int) -> None:
        """Let one thing happen, if it can."""
        worker = self.workers[who]
        does: dict[str, Callable[[], Awaitable[None]]] = {
            "accept": self._accept,
            "read": lambda: self._read(worker),
            "again": lambda: self._begin_held(worker),
            "send": lambda: self._send(worker, chance),
            "conclude": lambda: self._conclude(worker),
            "die": lambda: self._die(worker),
            "claim": lambda: self._claim(worker),
            "pass": lambda: self._pass([200, LEASE_MS // 2, LEASE_MS + 1, QUARANTINE_MS][chance]),
        }
        await does[thing]()

    async def _accept(self) -> None:
        if len(self.accepted) < 4:
            self.accepted.append(f"t{len(self.accepted)}")
            await self.bench.accept(self.accepted[-1], body=BODY)

    async def _read(self, worker: Worker) -> None:
        await self.bench.beat(worker.name)
        worker.holds += (await self.bench.deliver(worker.name)).values()
        await self._begin_held(worker)

    async def _begin_held(self, worker: Worker) -> None:
        await self.bench.beat(worker.name)
        held, worker.holds = worker.holds, []
        for entry in held:
            topup_id, nonce = entry.fields["id"].decode(), f"n{next(self._nonces)}"
            begun = await self.bench.begin(topup_id, worker.name, nonce, entry=entry.id)
            if begun.status in ("send", "inquire", "inquire_final"):
                attempt = Attempt(
                    entry, nonce, begun.status, begun.attempt, begun.after_ms, self.passed_ms
                )
                worker.doing.append(attempt)
            elif begun.status in ("busy", "held"):
                worker.holds.append(entry)

    async def _send(self, worker: Worker, chance: int) -> None:
        """Reach the provider, or not; hear of it, or not."""
        for attempt in worker.doing:
            if attempt.answer is None:
                attempt.answer = self._provider(attempt, chance)
                return

    def _provider(self, attempt: Attempt, chance: int) -> Answer:
        topup_id = attempt.entry.fields["id"].decode()
        told = Delivered(provider_reference="ref", raw="")
        if attempt.mode != "send":
            if chance == 0:
                return Unknown(reason="no answer", raw="")
            return told if self.paid.get(topup_id) else NotFound("")
        if self.passed_ms - attempt.began_ms >= attempt.lease_ms // 2:
            return NotSent("the right to send has ended")
        if chance == 1:
            return Unknown(reason="reset before it arrived", raw="")
        if chance == 2 and not self.paid.get(topup_id):
            return Refused(reason="busy", code="42", kind="retry", raw="")
        if not (self.facts.dedupes_on_reference and self.paid.get(topup_id)):
            self.paid[topup_id] = self.paid.get(topup_id, 0) + 1
        return told if chance == 3 else Unknown(reason="answer lost", raw="")

    async def _conclude(self, worker: Worker) -> None:
        for attempt in worker.doing:
            if attempt.answer is not None:
                worker.doing.remove(attempt)
                await self._judge(attempt, attempt.answer)
                return

    async def _judge(self, attempt: Attempt, answer: Answer) -> None:
        topup_id, number = attempt.entry.fields["id"].decode(), attempt.number
        if attempt.mode == "send":
            verdict = after_send(answer, facts=self.facts, attempt=number, by="w", chance=0)
        else:
            verdict = after_inquiry(
                answer, final=attempt.mode == "inquire_final", facts=self.facts, attempt=number,
                by="w", chance=0, resend=True,
            )  # fmt: skip
        if isinstance(verdict, Finish):
            await self.bench.finish(topup_id, attempt.nonce, verdict.to, reason=verdict.reason)
        else:
            await self.bench.park(topup_id, attempt.nonce, verdict.why, delay_ms=verdict.delay_ms)

    async def _die(self, worker: Worker) -> None:
        await self.bench.silence(worker.name)
        worker.boot += 1
        worker.holds, worker.doing = [], []

    async def _claim(self, worker: Worker) -> None:
        await self.bench.beat(worker.name)
        reader = GroupReader(self.bench.client, group=DISPATCHER_GROUP, consumer=worker.name)
        claimed = await reader.claim(self.bench.stream, self.bench.keys.alive, count_max=100)
        known = {entry.id for entry in worker.holds}
        worker.holds += [entry for entry in claimed if entry.id not in known]

    async def _pass(self, ms: int) -> None:
        """Time passes; whoever has not died goes on beating, and wakes what is due."""
        await self.bench.pass_time(ms)
        self.passed_ms += ms
        for worker in self.workers:
            await self.bench.beat(worker.name)
        await self.bench.wake()

    async def check(self) -> None:
        """Hold the promises that hold at every moment."""
        for topup_id in self.accepted:
            state = State(await self.bench.state(topup_id))
            paid = self.paid.get(topup_id, 0)
            assert paid <= 1, f"{topup_id} was paid {paid} times"
            assert state is not State.FAILED or not paid, f"{topup_id} failed and was paid"
            assert state is not State.SUCCEEDED or paid, f"{topup_id} succeeded and was not paid"
            seqs = [seq for seq, _ in await self.bench.outcomes(topup_id)]
            assert seqs == ([1] if state in SETTLED else []), f"{topup_id} told {seqs}"

    async def settle(self) -> None:
        """Everybody dies but one, the provider is well: everything that was accepted must end."""
        for worker in self.workers:
            await self._die(worker)
        last = self.workers[0]
        for _ in range(ROUNDS_MAX):
            await self._pass(QUARANTINE_MS)
            for other in self.workers[1:]:
                await self.bench.silence(other.name)
            await self._claim(last)
            await self._read(last)
            while last.doing:
                await self._send(last, 3)
                await self._conclude(last)
            await self.check()
            states = [State(await self.bench.state(topup_id)) for topup_id in self.accepted]
            if SETTLED.issuperset(states):
                assert await self.bench.pending() == {}
                return
        raise AssertionError(f"not settled after {ROUNDS_MAX} rounds")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(THINGS), st.integers(0, 2), st.integers(0, 3)),
        min_size=5,
        max_size=40,
    )
)
def test_nothing_is_lost_and_nothing_is_paid_twice(
    valkey_url: str, kind: str, steps: list[Step]
) -> None:
    """At every moment, and in the end, by the provider's own book."""

    async def live() -> None:
        client = connect(valkey_url)
        try:
            bench = Bench(client)
            await bench.topups.prepare(LANE)
            world = World(bench, kind)
            for step in [("accept", 0, 0), ("read", 0, 0), *steps]:
                await world.step(*step)
                await world.check()
            await world.settle()
            await bench.check_counters()
        finally:
            await client.aclose()

    with Redis.from_url(valkey_url) as server:
        server.flushall()
    vouch_for(valkey_url)
    asyncio.run(live())
