"""Lives of a topup: any order of calls, deaths, zombies, late answers, lost replies, skew and a
failover, drawn so that what matters comes often.

Which step comes next is drawn by weight among those that can do something now: were they rules of
hypothesis, it would leave out some of them in each example, and without reads or answers a life
gets nowhere. Time mostly goes to the edge of the next deadline, and what always follows, such as a
wake and the read after it, is one step. A life that is over makes room for another one.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.dispatcher.providers.adapter import (
    Answer,
    Delivered,
    Facts,
    NotFound,
    NotSent,
    Refused,
    Unknown,
)
from services.dispatcher.rules import Finish, Park, after_inquiry, after_send, going_on
from shared.contracts.limits import CLOCK_ERROR_MS, SILENT_MS
from shared.runtime.redis import Client
from tests.integration.bus.bench import DEDUPE_WINDOW_MS, LANE, LEASE_MS, QUARANTINE_MS
from tests.model.functions import CLOSED, NEVER, Record
from tests.model.machine import START_MS, Pair

FLIGHT_MS: Final = 10_000
VISIBLE_AFTER_MS: Final = QUARANTINE_MS - FLIGHT_MS - CLOCK_ERROR_MS
KNOWN_MS: Final = DEDUPE_WINDOW_MS + FLIGHT_MS + CLOCK_ERROR_MS
"""For so long a provider that dedupes knows what it has paid."""
ATTEMPT: Final = ("send", "inquire", "inquire_final")
OWNERS = st.sampled_from("abc")
SELDOM = st.sampled_from([False, False, False, True])
EDGE = st.sampled_from([0, 1])
PASSES = st.sampled_from([1, 200, SILENT_MS + 1, FLIGHT_MS, LEASE_MS // 2, LEASE_MS // 2 - 1])
WHICH = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4])
"""Of the deadlines ahead, mostly one of the next."""
ANSWERS = st.sampled_from(["pay", "pay", "pay", "pay", "refuse", "refuse", "busy", "lose"])
WORLD: Final[dict[str, st.SearchStrategy[Any]]] = {
    "kind": st.sampled_from(["neither", "inquiry", "dedupes", "dedupes+inquiry"]),
    "covers": st.booleans(),
    "resend": st.booleans(),
    "routed": st.booleans(),
    "replicated": SELDOM,
}
T = TypeVar("T")


class Task(msgspec.Struct):
    """What one task of one dispatcher has in hand; it goes on, whoever has taken over."""

    owner: str
    entry: str
    nonce: str
    asked_at_ms: int = -1
    phase: str = "begin"  # begin, send, sent, ask, conclude
    mode: str = ""
    lease_ms: int = 0
    verdict: Finish | Park | None = None

    @property
    def lane(self) -> str:
        """The lane it is a task of."""
        return self.entry[0]


class Book(msgspec.Struct):
    """What one lane's provider has done."""

    paid: list[int]
    refused: bool = False


class Server:
    """The loop and the client that all examples share."""

    runner: asyncio.Runner
    client: Client


class Lives(RuleBasedStateMachine):
    """Three dispatchers, of which any may be a zombie, one topup at a time, one lane or two."""

    @initialize(world=st.fixed_dictionaries(WORLD))
    def begin(self, world: dict[str, Any]) -> None:
        self._begin_world(**world)

    def _begin_world(
        self, *, kind: str, covers: bool, resend: bool, routed: bool, replicated: bool
    ) -> None:
        self.resend, self.covers = resend, covers
        self.pair = Pair(
            Server.client, kind, covers=covers, routed=routed, replicated=replicated
        )  # fmt: skip
        self.facts = Facts(
            name=LANE, dedupes_on_reference="dedupes" in kind, inquiry="inquiry" in kind,
            visible_after_ms=VISIBLE_AFTER_MS if "inquiry" in kind else None,
            connect_timeout_ms=1, login_timeout_ms=1, answer_timeout_ms=FLIGHT_MS,
        )  # fmt: skip
        self.tasks: list[Task] = []
        self.wire: list[tuple[str, str, int]] = []
        self.nonces = self.true_ms = self.skew_ms = 0
        self.books = {lane: Book([]) for lane in self.pair.lanes}
        self.failed_over = not replicated
        self.run(self.pair.start())
        self.run(self.pair.accept())
        self.run(self.pair.sync())

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        step = data.draw(st.sampled_from(self._possible()))
        getattr(self, step)(data)

    def _possible(self) -> list[str]:
        """Name what can do something now, as often as its weight."""
        waits, over = self.state == "waiting", self.state in CLOSED
        unread = "" in self.pair.model.entries.values()
        phases = {task.phase for task in self.tasks}
        weights = {
            "read": 4 if unread else 1,
            "claim": 1,
            "take_over": 2 if self.state == "active" else 0,
            "come_back": 4 if waits else 0,
            "begin_attempt": 4 if "begin" in phases else 0,
            "write": 8 if "send" in phases else 0,
            "arrive": 6 if self.wire else 0,
            "hear_nothing": 2 if "sent" in phases else 0,
            "inquire": 4 if "ask" in phases else 0,
            "conclude": 4 if "conclude" in phases else 0,
            "zombie_speaks": 3 if self._zombies() else 0,
            "time_passes": 1,
            "deadline_passes": 2 if len(self._ahead()) > 1 else 0,
            "something_rare": 2,
            "open_lane": 3 if self.pair.model.held else 0,
            "resolve": 2 if self.state == "unresolved" else 0,
            "another_life": 4 if over and not self.tasks else 0,
        }
        return [name for name, weight in weights.items() for _ in range(weight)]

    def another_life(self, data: st.DataObject) -> None:
        self.teardown()
        self._begin_world(**data.draw(st.fixed_dictionaries(WORLD)))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return Server.runner.run(coroutine)

    @property
    def record(self) -> Record:
        record = self.pair.model.record
        assert record is not None, "it was accepted, and is synced from the start"
        return record

    @property
    def state(self) -> str:
        return self.record.state

    # -- deliveries and begins -----------------------------------------------------------------

    def read(self, data: st.DataObject) -> None:
        self._read(data.draw(OWNERS), begins=data.draw(st.booleans()))

    def _read(self, owner: str, *, begins: bool) -> None:
        mine = {task.entry for task in self.tasks if task.owner == owner}
        for entry in self.run(self.pair.read(owner)):
            if entry not in mine:
                self.tasks.append(Task(owner, entry, self._nonce()))
        for task in list(self.tasks):
            if begins and task.owner == owner and task.phase == "begin":
                self._begin_attempt(task)

    def claim(self, data: st.DataObject) -> None:
        self._claim(data.draw(OWNERS), begins=data.draw(st.booleans()))

    def _claim(self, owner: str, *, begins: bool) -> None:
        self.run(self.pair.claim(owner))
        self._read(owner, begins=begins)

    def take_over(self, data: st.DataObject) -> None:
        """The owner seems dead; another one has its work."""
        others = [name for name in "abc" if name != self.record.owner]
        self._pass(data.draw(st.sampled_from([SILENT_MS, LEASE_MS])) + data.draw(EDGE))
        self._claim(data.draw(st.sampled_from(others)), begins=True)

    def come_back(self, data: st.DataObject) -> None:
        """What waits is due, and read."""
        due = self.pair.model.due
        assert due is not None, "it waits"
        self._pass(max(due - self.pair.model.now, 0) + data.draw(EDGE))
        self.run(self.pair.wake())
        self._read(data.draw(OWNERS), begins=True)

    def _nonce(self) -> str:
        self.nonces += 1
        return f"n{self.nonces}"

    def begin_attempt(self, data: st.DataObject) -> None:
        self._begin_attempt(self._draw(data, "begin"), lost=data.draw(SELDOM))

    def _begin_attempt(self, task: Task, *, lost: bool = False) -> None:
        if task.asked_at_ms < 0:  # the clock counts from before the first try under this nonce
            task.asked_at_ms = self.true_ms
        reply = self.run(self.pair.begin(task.owner, task.entry, task.nonce))
        if lost:
            return
        if reply.word in ATTEMPT:
            self.run(self.pair.sync())  # durable, before anything follows from it
            task.phase = "send" if reply.word == "send" else "ask"
            task.mode, task.lease_ms = reply.word, reply.number
        elif reply.word in ("busy", "held"):
            task.nonce, task.asked_at_ms = self._nonce(), -1
        else:
            self.tasks.remove(task)

    # -- the provider ----------------------------------------------------------------------------

    def write(self, data: st.DataObject) -> None:
        task = self._draw(data, "send")
        if data.draw(SELDOM) or self.true_ms - task.asked_at_ms >= task.lease_ms // 2:
            self._judge(task, NotSent("no connection, or too late"))
        else:
            task.phase = "sent"
            self.wire.append((task.lane, task.nonce, self.true_ms + FLIGHT_MS))

    def arrive(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.wire))
        self.wire.remove(request)
        lane, nonce, _ = request
        answer = self._answer(lane, data.draw(ANSWERS))
        lost = data.draw(SELDOM)
        for task in self.tasks:
            if task.phase == "sent" and task.nonce == nonce and answer and not lost:
                self._judge(task, answer)

    def _answer(self, lane: str, said: str) -> Answer | None:
        book, dedupes = self.books[lane], self.facts.dedupes_on_reference
        knows = dedupes and book.paid and self.true_ms < book.paid[0] + KNOWN_MS
        if said == "lose":
            return None
        if self.covers and dedupes and (knows or book.refused):
            said = "pay" if knows else "refuse"
        if said == "refuse":
            book.refused = True
            return Refused(reason="no", code="1", kind="final", raw="")
        if said == "busy":
            return Refused(reason="busy", code="2", kind="retry", raw="")
        if not knows:
            book.paid.append(self.true_ms)
        return Delivered(provider_reference="ref", raw="")

    def hear_nothing(self, data: st.DataObject) -> None:
        self._judge(self._draw(data, "sent"), Unknown(reason="timeout"))

    def inquire(self, data: st.DataObject) -> None:
        task = self._draw(data, "ask")
        book = self.books[task.lane]
        shows = book.paid and (self._shows(book) or data.draw(st.booleans()))
        refused = Refused(reason="no", code="1", kind="final", raw="")
        told = Delivered(provider_reference="ref", raw="")
        nothing = refused if book.refused and not book.paid else NotFound()
        said = told if shows else nothing
        self._judge(task, Unknown(reason="timeout") if data.draw(SELDOM) else said)

    def _shows(self, book: Book) -> bool:
        return bool(book.paid) and self.true_ms >= book.paid[0] + VISIBLE_AFTER_MS

    def _judge(self, task: Task, answer: Answer) -> None:
        """Let the dispatcher's own rules decide."""
        with_: dict[str, Any] = {
            "facts": self.facts, "attempt": max(self.record.attempt, 1), "by": "d", "chance": 0.0,
        }  # fmt: skip
        if task.mode == "send":
            task.verdict = after_send(answer, **with_)
        else:
            final = task.mode == "inquire_final"
            task.verdict = after_inquiry(answer, final=final, resend=self.resend, **with_)
        task.phase = "conclude"

    def conclude(self, data: st.DataObject) -> None:
        self._conclude(self._draw(data, "conclude"), lost=data.draw(SELDOM))

    def zombie_speaks(self, data: st.DataObject) -> None:
        """An attempt that is over, or taken over, says what it heard."""
        self._conclude(data.draw(st.sampled_from(self._zombies())), lost=data.draw(SELDOM))

    def _zombies(self) -> list[Task]:
        return [t for t in self.tasks if t.phase == "conclude" and t.nonce != self.record.nonce]

    def _conclude(self, task: Task, *, lost: bool = False) -> None:
        verdict = task.verdict
        assert verdict is not None, "it has been judged"
        goes_on = going_on(verdict, mode=task.mode) if self.pair.route else None
        word = self.run(self.pair.hand_on(task.lane, task.nonce, goes_on)).word if goes_on else ""
        if word == "moved":
            pass
        elif isinstance(verdict, Finish):
            word = self.run(self.pair.finish(task.lane, task.nonce, verdict.to.value)).word
        else:
            self.run(self.pair.park(task.lane, task.nonce, verdict.why, verdict.delay_ms))
        assert word != "contradiction"
        if not lost:
            self.run(self.pair.sync())  # durable, before the answer is forgotten
            self.tasks.remove(task)

    # -- time --------------------------------------------------------------------------------------

    def time_passes(self, data: st.DataObject) -> None:
        self._pass(data.draw(PASSES))

    def deadline_passes(self, data: st.DataObject) -> None:
        """It is then, or just past it."""
        ahead = self._ahead()
        self._pass(ahead[data.draw(WHICH) % len(ahead)] + data.draw(EDGE))

    def _ahead(self) -> list[int]:
        """Return how long until each deadline that is not past, the next one first."""
        r, now = self.record, self.pair.model.now
        at = [r.lease_until, r.quarantine_until, r.deliver_before, self.pair.model.due or 0]
        if r.first_send_at != NEVER:
            at.append(r.first_send_at + DEDUPE_WINDOW_MS - LEASE_MS)
        return sorted({then - now for then in at if then >= now})

    def _pass(self, ms: int) -> None:
        self.true_ms += ms
        self.wire = [request for request in self.wire if request[2] >= self.true_ms]
        self._tick()

    def _tick(self) -> None:
        self.run(self.pair.set_clock(START_MS + self.true_ms + self.skew_ms))

    # -- what goes wrong, or hardly matters --------------------------------------------------------

    def something_rare(self, data: st.DataObject) -> None:
        possible = {
            "die": True,
            "lose": bool(self.tasks),
            "skew": True,
            "fail_over": not self.failed_over,
            "hold_lane": True,
            "expire": True,
            "bury": self._some("begin"),
            "wake": True,
            "accept": True,
            "resolve": True,
            "deadline_passes": bool(self._ahead()),
        }
        what = data.draw(st.sampled_from([name for name, can in possible.items() if can]))
        getattr(self, what)(data)

    def die(self, data: st.DataObject) -> None:
        gone = data.draw(OWNERS)
        self.tasks = [task for task in self.tasks if task.owner != gone]

    def lose(self, data: st.DataObject) -> None:
        self.tasks.remove(data.draw(st.sampled_from(self.tasks)))

    def skew(self, data: st.DataObject) -> None:
        self.skew_ms = data.draw(st.integers(-CLOCK_ERROR_MS // 2, CLOCK_ERROR_MS // 2))
        self._tick()

    def fail_over(self, _data: st.DataObject) -> None:
        self.failed_over = True
        self.run(self.pair.fail_over())

    def expire(self, _data: st.DataObject) -> None:
        self.run(self.pair.expire())

    def bury(self, data: st.DataObject) -> None:
        task = self._draw(data, "begin")
        self.run(self.pair.bury(task.entry))
        self.run(self.pair.sync())
        self.tasks.remove(task)

    def wake(self, _data: st.DataObject) -> None:
        self.run(self.pair.wake())

    def accept(self, _data: st.DataObject) -> None:
        self.run(self.pair.accept())

    def hold_lane(self, _data: st.DataObject) -> None:
        self.run(self.pair.hold(held=True))

    def open_lane(self, _data: st.DataObject) -> None:
        self.run(self.pair.hold(held=False))

    def resolve(self, data: st.DataObject) -> None:
        age_ms = data.draw(st.sampled_from([0, 0, QUARANTINE_MS]))
        book = self.books[self.record.lane]
        shows = self._shows(book)
        if age_ms and book.paid:
            return  # what it showed then is not written down
        asked_at_ms = self.pair.model.now - age_ms
        reply = self.run(self.pair.resolve("succeeded" if shows else "failed", asked_at_ms))
        if reply.word == "ok":
            self.run(self.pair.sync())

    # -- always ------------------------------------------------------------------------------------

    @invariant()
    def valkey_is_what_the_model_is(self) -> None:
        self.run(self.pair.compare())

    @invariant()
    def the_money_is_told_as_it_is(self) -> None:
        paid = sum(len(book.paid) for book in self.books.values())
        assert paid <= 1, "paid twice"
        assert self.state != "failed" or not paid, "failed, and paid"
        assert self.state != "succeeded" or paid, "succeeded, and not paid"

    def teardown(self) -> None:
        """All die but one, all is well: it comes to an end, and nothing stays behind."""
        if not hasattr(self, "pair"):
            return
        self.tasks, self.wire = [], []
        self.run(self.pair.hold(held=False))
        for _ in range(30):
            if self.state in CLOSED and not self.pair.model.entries:
                return
            self._pass(QUARANTINE_MS)
            self.run(self.pair.wake())
            self._claim("a", begins=True)
            for task in [task for task in self.tasks if task.mode]:
                self._carry(task)
            self.tasks = []
            self.valkey_is_what_the_model_is()
            self.the_money_is_told_as_it_is()
        raise AssertionError("it did not end")

    def _carry(self, task: Task) -> None:
        """Hear what there is to be heard, and say so."""
        knows = bool(self.books[task.lane].paid)
        answer = self._answer(task.lane, "pay") if task.mode == "send" else None
        told = Delivered(provider_reference="ref", raw="")
        self._judge(task, answer or (told if knows else NotFound()))
        self._conclude(task)

    def _some(self, phase: str) -> bool:
        return any(task.phase == phase for task in self.tasks)

    def _draw(self, data: st.DataObject, phase: str) -> Task:
        return data.draw(st.sampled_from([task for task in self.tasks if task.phase == phase]))
