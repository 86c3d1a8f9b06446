"""Any order of calls, deaths, zombies, late answers, lost replies, skew and one failover: Valkey is
what the model is, and the money is what the provider's book says.

`EXAMPLES=10000` is the long form, `make model-long`; its seed is drawn, and printed.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.dispatcher.providers.adapter import (
    Answer,
    Delivered,
    Facts,
    NotFound,
    NotSent,
    Refused,
    Unknown,
)
from services.dispatcher.rules import Finish, Park, after_inquiry, after_send
from shared.contracts.limits import CLOCK_ERROR_MS
from shared.runtime.redis import Client, connect
from tests.integration.bus.bench import DEDUPE_WINDOW_MS, LANE, LEASE_MS, QUARANTINE_MS
from tests.model.functions import CLOSED
from tests.model.machine import START_MS, Pair, load_with_clock

pytestmark = pytest.mark.integration

EXAMPLES = int(os.environ.get("EXAMPLES", "0"))
EXAMPLES_SHORT = 40
KINDS = ("neither", "inquiry", "dedupes", "dedupes+inquiry")
OWNERS = st.sampled_from("abc")
FLIGHT_MS = 10_000
VISIBLE_AFTER_MS = QUARANTINE_MS - FLIGHT_MS - CLOCK_ERROR_MS
PASSES = st.sampled_from(
    [
        1,
        200,
        6_000,
        FLIGHT_MS,
        LEASE_MS // 2,
        LEASE_MS + 1,
        QUARANTINE_MS,
        4 * QUARANTINE_MS,
        3_700_000,
    ]
)
T = TypeVar("T")


class Task(msgspec.Struct):
    """What one task of one dispatcher has in hand; it goes on, whoever has taken over."""

    owner: str
    entry: str
    nonce: str
    asked_at_ms: int
    phase: str = "begin"  # begin, send, sent, ask, conclude
    mode: str = ""
    lease_ms: int = 0
    attempt: int = 0
    verdict: Finish | Park | None = None


class Server:
    """The loop and the client that all examples share."""

    runner: asyncio.Runner
    client: Client


class Machine(RuleBasedStateMachine):
    """Three dispatchers, of which any may be a zombie, one provider and one topup."""

    @initialize(kind=st.sampled_from(KINDS), covers=st.booleans(), resend=st.booleans())
    def begin_world(self, kind: str, covers: bool, resend: bool) -> None:
        self.kind, self.resend = kind, resend
        self.pair = Pair(Server.client, kind, covers=covers)
        self.covers = covers
        self.facts = Facts(
            name=LANE, dedupes_on_reference="dedupes" in kind, inquiry="inquiry" in kind,
            visible_after_ms=VISIBLE_AFTER_MS if "inquiry" in kind else None,
            connect_timeout_ms=1, login_timeout_ms=1, answer_timeout_ms=FLIGHT_MS,
        )  # fmt: skip
        self.tasks: list[Task] = []
        self.wire: list[tuple[str, int]] = []
        self.nonces = 0
        self.true_ms = 0
        self.skew_ms = 0
        self.paid: list[int] = []
        self.refused = False
        self.failed_over = False
        self.run(self.pair.start())
        self.run(self.pair.accept())
        self.run(self.pair.sync())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return Server.runner.run(coroutine)

    @property
    def state(self) -> str:
        record = self.pair.model.record
        return record.state if record else ""

    # -- deliveries and begins -----------------------------------------------------------------

    @rule()
    def accept_again(self) -> None:
        self.run(self.pair.accept())

    @rule(owner=OWNERS)
    def read(self, owner: str) -> None:
        self._take_in_hand(owner, self.run(self.pair.read(owner)))

    @rule(owner=OWNERS)
    def claim(self, owner: str) -> None:
        self.run(self.pair.claim(owner))
        self.read(owner)

    @precondition(lambda self: self._is_active())
    @rule(owner=OWNERS, ms=st.sampled_from([6_000, LEASE_MS, 2 * LEASE_MS]))
    def fall_silent_and_be_replaced(self, owner: str, ms: int) -> None:
        self.time_passes(ms)
        self.claim(owner)

    def _take_in_hand(self, owner: str, entries: list[str]) -> None:
        mine = {task.entry for task in self.tasks if task.owner == owner}
        for entry in [entry for entry in entries if entry not in mine]:
            self.nonces += 1
            self.tasks.append(Task(owner, entry, f"n{self.nonces}", self.true_ms))

    @precondition(lambda self: self._some("begin"))
    @rule(data=st.data(), lost=st.booleans())
    def begin(self, data: st.DataObject, lost: bool) -> None:
        task = self._draw(data, "begin")
        if not task.attempt:  # the clock counts from before the first try under this nonce
            task.asked_at_ms = self.true_ms
            task.attempt = 1
        reply = self.run(self.pair.begin(task.owner, task.entry, task.nonce))
        if lost:
            return
        if reply.word in ("send", "inquire", "inquire_final"):
            self.run(self.pair.sync())  # durable, before anything follows from it
            task.phase = "send" if reply.word == "send" else "ask"
            task.mode, task.lease_ms = reply.word, reply.number
        elif reply.word in ("busy", "held"):
            self.nonces += 1
            task.nonce, task.attempt = f"n{self.nonces}", 0
        else:
            self.tasks.remove(task)

    # -- the provider ----------------------------------------------------------------------------

    @precondition(lambda self: self._some("send"))
    @rule(data=st.data(), connected=st.integers(0, 4))
    def write(self, data: st.DataObject, connected: int) -> None:
        task = self._draw(data, "send")
        if not connected or self.true_ms - task.asked_at_ms >= task.lease_ms // 2:
            self._judge(task, NotSent("no connection, or too late"))
        else:
            task.phase = "sent"
            self.wire.append((task.nonce, self.true_ms + FLIGHT_MS))

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), said=st.sampled_from(["pay", "pay", "pay", "refuse", "busy", "lose"]),
          heard=st.booleans())  # fmt: skip
    def arrive(self, data: st.DataObject, said: str, heard: bool) -> None:
        request = data.draw(st.sampled_from(self.wire))
        self.wire.remove(request)
        answer = self._answer(said)
        for task in self.tasks:
            if task.phase == "sent" and task.nonce == request[0] and heard and answer:
                self._judge(task, answer)

    def _answer(self, said: str) -> Answer | None:
        dedupes = self.facts.dedupes_on_reference
        knows = dedupes and self.paid and self.true_ms < self.paid[0] + DEDUPE_WINDOW_MS + FLIGHT_MS
        if said == "lose":
            return None
        if self.covers and dedupes and (knows or self.refused):
            said = "pay" if knows else "refuse"
        if said == "refuse":
            self.refused = True
            return Refused(reason="no", code="1", kind="final", raw="")
        if said == "busy":
            return Refused(reason="busy", code="2", kind="retry", raw="")
        if not knows:
            self.paid.append(self.true_ms)
        return Delivered(provider_reference="ref", raw="")

    @precondition(lambda self: self._some("sent"))
    @rule(data=st.data())
    def hear_nothing(self, data: st.DataObject) -> None:
        self._judge(self._draw(data, "sent"), Unknown(reason="timeout"))

    @precondition(lambda self: self._some("ask"))
    @rule(data=st.data(), answered=st.integers(0, 4), early=st.booleans())
    def inquire(self, data: st.DataObject, answered: int, early: bool) -> None:
        task = self._draw(data, "ask")
        shows = self.paid and (early or self.true_ms >= self.paid[0] + VISIBLE_AFTER_MS)
        refused = Refused(reason="no", code="1", kind="final", raw="")
        told = Delivered(provider_reference="ref", raw="")
        nothing = refused if self.refused and not self.paid else NotFound()
        self._judge(task, (told if shows else nothing) if answered else Unknown(reason="timeout"))

    def _judge(self, task: Task, answer: Answer) -> None:
        """Let the dispatcher's own rules decide."""
        with_: dict[str, Any] = {
            "facts": self.facts, "attempt": task.attempt, "by": "d", "chance": 0.0,
        }  # fmt: skip
        if task.mode == "send":
            task.verdict = after_send(answer, **with_)
        else:
            final = task.mode == "inquire_final"
            task.verdict = after_inquiry(answer, final=final, resend=self.resend, **with_)
        task.phase = "conclude"

    @precondition(lambda self: self._some("conclude"))
    @rule(data=st.data(), lost=st.booleans())
    def conclude(self, data: st.DataObject, lost: bool) -> None:
        task = self._draw(data, "conclude")
        verdict = task.verdict
        if isinstance(verdict, Finish):
            reply = self.run(self.pair.finish(task.nonce, verdict.to.value))
        else:
            assert verdict is not None, "it has been judged"
            reply = self.run(self.pair.park(task.nonce, verdict.why, verdict.delay_ms))
        assert reply.word != "contradiction"
        if not lost:
            self.run(self.pair.sync())  # durable, before the answer is forgotten
            self.tasks.remove(task)

    # -- what goes wrong ---------------------------------------------------------------------------

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def a_task_is_lost(self, data: st.DataObject) -> None:
        self.tasks.remove(data.draw(st.sampled_from(self.tasks)))

    @rule(ms=PASSES)
    def time_passes(self, ms: int) -> None:
        self.true_ms += ms
        self.wire = [(nonce, until) for nonce, until in self.wire if until >= self.true_ms]
        self._tick()

    @rule(ms=st.integers(-CLOCK_ERROR_MS // 2, CLOCK_ERROR_MS // 2))
    def the_clock_is_wrong(self, ms: int) -> None:
        self.skew_ms = ms
        self._tick()

    def _tick(self) -> None:
        self.run(self.pair.set_clock(START_MS + self.true_ms + self.skew_ms))

    @precondition(lambda self: not self.failed_over)
    @rule()
    def the_replica_is_promoted(self) -> None:
        self.failed_over = True
        self.run(self.pair.fail_over())

    # -- upkeep and people -------------------------------------------------------------------------

    @rule()
    def wake(self) -> None:
        self.run(self.pair.wake())

    @rule()
    def expire(self) -> None:
        self.run(self.pair.expire())

    @rule(held=st.booleans())
    def hold(self, held: bool) -> None:
        self.run(self.pair.hold(held=held))

    @rule(age_ms=st.sampled_from([0, 0, QUARANTINE_MS]))
    def resolve(self, age_ms: int) -> None:
        shows = bool(self.paid) and self.true_ms >= self.paid[0] + VISIBLE_AFTER_MS
        paid = bool(self.paid) if shows or not age_ms else False
        asked_at_ms = self.pair.model.now - (0 if shows else age_ms)
        if age_ms and self.paid:
            return  # what it showed then is not written down
        reply = self.run(self.pair.resolve("succeeded" if paid else "failed", asked_at_ms))
        if reply.word == "ok":
            self.run(self.pair.sync())

    @precondition(lambda self: self._some("begin"))
    @rule(data=st.data())
    def bury(self, data: st.DataObject) -> None:
        task = self._draw(data, "begin")
        self.run(self.pair.bury(task.entry))
        self.run(self.pair.sync())
        self.tasks.remove(task)

    # -- always ------------------------------------------------------------------------------------

    @invariant()
    def valkey_is_what_the_model_is(self) -> None:
        self.run(self.pair.compare())

    @invariant()
    def the_money_is_told_as_it_is(self) -> None:
        assert len(self.paid) <= 1, "paid twice"
        assert self.state != "failed" or not self.paid, "failed, and paid"
        assert self.state != "succeeded" or self.paid, "succeeded, and not paid"

    def teardown(self) -> None:
        """All die but one, all is well: it comes to an end, and nothing stays behind."""
        if not hasattr(self, "pair"):
            return
        self.tasks, self.wire = [], []
        self.run(self.pair.hold(held=False))
        for _ in range(30):
            if self.state in CLOSED and not self.pair.model.entries:
                return
            self.time_passes(QUARANTINE_MS)
            self.run(self.pair.wake())
            self.run(self.pair.claim("a"))
            self.read("a")
            for task in list(self.tasks):
                self._carry(task)
            self.valkey_is_what_the_model_is()
            self.the_money_is_told_as_it_is()
        raise AssertionError("it did not end")

    def _carry(self, task: Task) -> None:
        reply = self.run(self.pair.begin("a", task.entry, task.nonce))
        self.tasks.remove(task)
        task.mode, task.attempt = reply.word, 1
        if reply.word in ("send", "inquire", "inquire_final"):
            knows = bool(self.paid)
            answer = self._answer("pay") if reply.word == "send" else None
            told = Delivered(provider_reference="ref", raw="")
            self._judge(task, answer or (told if knows else NotFound()))
            self.tasks.append(task)
            verdict = task.verdict
            if isinstance(verdict, Finish):
                self.run(self.pair.finish(task.nonce, verdict.to.value))
            elif verdict is not None:
                self.run(self.pair.park(task.nonce, verdict.why, verdict.delay_ms))
            self.tasks.remove(task)

    def _is_active(self) -> bool:
        return self.state == "active"

    def _some(self, phase: str) -> bool:
        return any(task.phase == phase for task in self.tasks)

    def _draw(self, data: st.DataObject, phase: str) -> Task:
        return data.draw(st.sampled_from([task for task in self.tasks if task.phase == phase]))


@pytest.fixture
def server(redis_url: str) -> Iterator[None]:
    """One loop, one client, and the library with a clock that is told."""
    with asyncio.Runner() as runner:
        Server.runner = runner
        Server.client = connect(redis_url)
        runner.run(load_with_clock(Server.client))
        runner.run(Server.client.config_set("appendfsync", "no"))  # no disk is lost here
        yield
        runner.run(Server.client.config_set("appendfsync", "always"))
        runner.run(Server.client.execute_command("FUNCTION", "FLUSH"))
        runner.run(Server.client.aclose())


def test_valkey_and_the_model_agree(server: None, capsys: pytest.CaptureFixture[str]) -> None:
    """After each step, in every field, with the same replies; and nobody is paid twice."""
    drawn = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(4))
    examples = EXAMPLES or EXAMPLES_SHORT
    with capsys.disabled():
        how = f"seed {drawn}" if EXAMPLES else "always the same"
        sys.stdout.write(f"\n{examples} examples, {how}\n")
    run_state_machine_as_test(
        seed(drawn)(Machine) if EXAMPLES else Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, database=None,
            derandomize=not EXAMPLES, suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
