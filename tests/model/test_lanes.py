"""The model of a lane says what a real Valkey says, through random lives of a lane."""

import random

import pytest

from shared.contracts.acts import act_by
from shared.contracts.states import State
from shared.runtime.redis import Client
from tests.integration.bus import bench as benches
from tests.integration.bus.bench import LEASE_MS, Bench
from tests.model.breaker import HOLDS_MAX, Breaker, Lane

pytestmark = pytest.mark.integration

HOLD_MS = 60_000
LONG_MS = 400_000
"""Longer than any lease, and any hold."""
LONG_TIMES = 8
PARKED = {"no": "no", "silent": "unknown", "unsent": "not_sent", "hold": "hold"}
FAILURES = 2


@pytest.fixture(autouse=True)
def holds_that_outlast_a_slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hold is over but by the time that a test lets pass."""
    monkeypatch.setattr(benches, "HOLD_MS", HOLD_MS)


class Both:
    """A lane on a server, and the same in the model."""

    def __init__(self, client: Client, chance: random.Random) -> None:
        self.bench = Bench(client)
        self.bench.kind, self.bench.breaker = "inquiry", FAILURES
        self.model, self.lane = Breaker(HOLD_MS, FAILURES, LEASE_MS), Lane()
        self.now, self.count = 0, 0
        self.queued: list[int] = []
        self.active: list[int] = []
        self.chance = chance

    async def begin(self) -> None:
        """Let one begin: an older one that was held, or another."""
        if self.queued and self.chance.random() < 0.5:
            number = self.queued.pop(self.chance.randrange(len(self.queued)))
        else:
            number, self.count = self.count, self.count + 1
            await self.bench.accept(f"t{number}")
            await self.bench.deliver("a")
        begun = await self.bench.begin(f"t{number}", "a", f"n{number}")
        may = self.model.lets_pass(self.lane, number, self.now)
        assert begun.status == ("send" if may else "held")
        (self.active if may else self.queued).append(number)

    async def answer(self) -> None:
        """End an attempt, if one is under way, in any way."""
        if not self.active:
            return
        number = self.active.pop(self.chance.randrange(len(self.active)))
        says = self.chance.choice(("fine", "unasked", "silent", *PARKED))
        topup, nonce = f"t{number}", f"n{number}"
        if says == "fine":
            await self.bench.finish(topup, nonce, State.SUCCEEDED)
        else:
            await self.bench.park(topup, nonce, PARKED.get(says, says), delay_ms=10**9)
        self.model.tell(self.lane, number, says, self.now)

    async def people(self) -> None:
        """Hold it, or open it."""
        act = act_by("ana", why="strike")
        if self.chance.random() < 0.5:
            await self.bench.lanes.hold(self.bench.lane_name, act=act)
            self.model.take(self.lane, until=-1)
        else:
            await self.bench.lanes.release(self.bench.lane_name, act=act)
            if self.lane.state != "open":
                self.model.open(self.lane)

    async def time(self) -> None:
        """Let every lease and every hold of its own be over."""
        if self.now < LONG_TIMES * LONG_MS:
            await self.bench.pass_time(LONG_MS)
            self.now += LONG_MS

    async def check(self) -> None:
        """The server's lane is the model's."""
        real, lane = await self.bench.lane(), self.lane
        probe = f"t{lane.probe}" if lane.state == "probing" else None
        found = (real.state, real.probe, real.failures, min(real.holds, HOLDS_MAX))
        assert found == (lane.state, probe, lane.failures, lane.holds)
        assert (real.state == "held" and real.until is None) == (lane.until == -1)


@pytest.mark.parametrize("seed", range(10))
async def test_a_lane_is_what_the_model_says(redis: Client, seed: int) -> None:
    """After each of eighty steps: begins, answers of every kind, people, and time."""
    chance = random.Random(seed)
    both = Both(redis, chance)
    await both.bench.topups.prepare(both.bench.lane_name)
    steps = (both.begin, both.answer, both.people, both.time)
    for step in chance.choices(steps, weights=(9, 6, 1, 2), k=80):
        await step()
        await both.check()
