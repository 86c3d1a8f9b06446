"""Any order of two lanes' reads, deaths, refusals and holds: one carrier, and paid at most once."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from shared.bus.reader import GroupReader
from shared.contracts.acts import act_by
from shared.contracts.states import SETTLED, State
from shared.contracts.streams import DISPATCHER_GROUP
from shared.runtime.redis import Client, connect
from tests.integration.bus.bench import LANE, QUARANTINE_MS, Bench
from tests.integration.bus.test_routes import OTHER, ROUTED
from tests.vouching import vouch_for

pytestmark = pytest.mark.integration

THINGS = [
    "read", "read", "begin", "begin", "end", "end", "late", "hold", "open", "move", "die", "pass",
]  # fmt: skip
ENDS = ["refused", "no", "not_sent", "hold", "unknown", "paid", "paid_unheard"]
Step = tuple[str, int, int]


class Task:
    """One delivery in a dispatcher's hands."""

    def __init__(self, entry: str) -> None:
        self.entry, self.nonce, self.mode = entry, "", ""


class World:
    """A dispatcher for each lane, who may die; each lane's provider has a book."""

    def __init__(self, client: Client) -> None:
        self.benches = [Bench(client), Bench(client, OTHER)]
        self.tasks: list[list[Task]] = [[], []]
        self.late: list[tuple[int, str]] = []
        self.boots = [0, 0]
        self.numbers = 0
        self.paid = 0

    def owner(self, lane: int) -> str:
        return f"d{lane}-{self.boots[lane]}"

    async def step(self, what: str, lane: int, chance: int) -> None:
        """Do one thing, if there is anything to do it to."""
        bench = self.benches[lane]
        match what:
            case "read":
                await self.read(lane)
            case "begin" | "end":
                await self.carry(lane, chance, begun=what == "end")
            case "hold" | "open" | "move":
                await self.look_after(bench, what)
            case "late" if self.late:
                at, nonce = self.late[chance % len(self.late)]
                await self.benches[at].hand_on("t", nonce, "refused")
            case "die":
                self.tasks[lane], self.boots[lane] = [], self.boots[lane] + 1
            case "pass":
                await bench.pass_time([1_000, 61_000, QUARANTINE_MS][chance % 3])
            case _:
                pass

    async def look_after(self, bench: Bench, what: str) -> None:
        """Do what operators and timers do."""
        if what == "hold":
            await bench.lanes.hold(bench.lane_name, act=act_by("test", why="people"))
        elif what == "open":
            await bench.lanes.release(bench.lane_name, act=act_by("test", why=""))
        else:
            await bench.wake()
            await bench.topups.move_unread(0, bench.lane_name, after="0-0", count_max=9)

    async def carry(self, lane: int, chance: int, *, begun: bool) -> None:
        """Begin the first that has not begun, or end the first that has."""
        tasks = self.tasks[lane]
        for task in [task for task in tasks if bool(task.nonce) == begun][:1]:
            if not begun:
                await self.begin(lane, task)
            else:
                tasks.remove(task)
                await self.end(lane, task, ENDS[chance % len(ENDS)])

    async def read(self, lane: int) -> None:
        """Take what is new, and what the dead had."""
        bench, owner = self.benches[lane], self.owner(lane)
        await bench.beat(owner)
        await bench.deliver(owner)
        for boot in range(self.boots[lane]):
            await bench.silence(f"d{lane}-{boot}")
        reader = GroupReader(bench.client, group=DISPATCHER_GROUP, consumer=owner)
        await reader.claim(bench.stream, bench.keys.alive, count_max=9)
        mine = {task.entry for task in self.tasks[lane]}
        for entry, who in (await bench.pending()).items():
            if who == owner and entry not in mine:
                self.tasks[lane].append(Task(entry))

    async def begin(self, lane: int, task: Task) -> None:
        """Ask for an attempt."""
        self.numbers += 1
        begun = await self.benches[lane].begin(
            "t", self.owner(lane), f"n{self.numbers}", entry=task.entry
        )
        if begun.status in ("send", "inquire", "inquire_final"):
            task.nonce, task.mode = f"n{self.numbers}", begun.status
        elif begun.status not in ("busy", "held"):
            self.tasks[lane].remove(task)

    async def end(self, lane: int, task: Task, how: str) -> None:
        """Let the provider do something, and the dispatcher say what it heard."""
        bench, nonce = self.benches[lane], task.nonce
        if task.mode == "send" and how.startswith("paid"):
            self.paid += 1
        if how == "paid":
            await bench.finish("t", nonce, State.SUCCEEDED if self.paid else State.UNRESOLVED)
        elif how in ("unknown", "paid_unheard") or task.mode != "send":
            await bench.finish("t", nonce, State.UNRESOLVED)
        else:
            self.late.append((lane, nonce))
            if (await bench.hand_on("t", nonce, how))[0] == "kept":
                if how == "refused":
                    await bench.finish("t", nonce, State.FAILED)
                else:
                    await bench.park("t", nonce, how)

    async def check(self) -> None:
        """One carrier where its record says, and no payment too many."""
        assert self.paid <= 1, "paid twice"
        bench = self.benches[0]
        record: dict[str, Any] = await bench.record("t")
        assert record["state"] != "failed" or not self.paid, "failed, and paid"
        assert record["state"] != "succeeded" or self.paid, "succeeded, and not paid"
        waits = await bench.client.zscore(bench.keys.waiting, "t") is not None
        assert bool(record.get("entry")) + waits == (record["state"] not in SETTLED)
        await bench.check_counters()


async def play(url: str, steps: list[Step]) -> None:
    client = connect(url)
    try:
        world = World(client)
        for bench in world.benches:
            await bench.topups.prepare(bench.lane_name)
        await world.benches[0].accept("t", body=ROUTED, route=(LANE, OTHER))
        for what, lane, chance in steps:
            await world.step(what, lane, chance)
            await world.check()
    finally:
        await client.aclose()


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(THINGS), st.integers(0, 1), st.integers(0, 20)),
        min_size=20,
        max_size=50,
    )
)
def test_whatever_happens_on_two_lanes(valkey_url: str, steps: list[Step]) -> None:
    """After each step: on one lane, at rest or carried, told as it was paid."""
    with Redis.from_url(valkey_url) as server:
        server.flushall()
    vouch_for(valkey_url)
    asyncio.run(play(valkey_url, steps))
