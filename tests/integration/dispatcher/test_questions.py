"""Unresolved topups are asked about again, at a real sandbox: yes and no settle, nobody pays."""

from collections.abc import AsyncIterator, Iterator

import pytest
from uuid_utils import uuid7

from services.dispatcher.lanes import LaneWatch
from services.dispatcher.providers.sandbox import SandboxLatcom
from services.dispatcher.questions import AT_ONCE, Questions
from services.dispatcher.steps import Steps
from shared.bus.lanes import Lanes
from shared.bus.limbo import Schedule, Standing
from shared.bus.trust import Trust
from shared.contracts.acts import act_by
from shared.contracts.states import State
from shared.runtime.redis import Client
from shared.runtime.upkeep import take_each
from tests.contract.providers.sales import Attempt, sale, sandbox_latcom
from tests.contract.providers.sandboxes import Sandbox, sandbox
from tests.integration.bus.bench import LANE, QUARANTINE_MS, SLACK_MS, Bench

pytestmark = pytest.mark.integration

OWNER = "dispatcher-1#0"
HOUR_MS = 3_600_000
PAID, REFUSED, NEVER_ARRIVED = "905", "901", "906"


@pytest.fixture(scope="module")
def provider() -> Iterator[Sandbox]:
    """A provider that can be asked."""
    with sandbox(SANDBOX_INQUIRY="on") as started:
        yield started


class Limbo:
    """A dispatcher's questions, and topups that are in limbo at the provider."""

    def __init__(self, client: Client, adapter: SandboxLatcom, provider: Sandbox) -> None:
        self.bench = Bench(client)
        self.bench.kind = "inquiry"
        self.provider = provider
        self._adapter = adapter
        self._client = client
        self.watch = LaneWatch(self.bench.topups, providers=[LANE])
        self.schedule = Schedule(client, self.bench.topups)

    def asker(self, adapter: SandboxLatcom | None = None) -> Questions:
        """Return one replica's questions."""
        steps = Steps(
            self.bench.topups, Trust(self._client, self.bench.topups), partition=0, provider=LANE,
            owner=OWNER, terms=self.bench.terms,
        )  # fmt: skip
        return Questions(
            adapter or self._adapter, topups=self.bench.topups, schedule=self.schedule,
            steps=[steps], watch=self.watch, owner=OWNER, by="dispatcher-1",
        )  # fmt: skip

    async def lose(self, ending: str) -> str:
        """Send a topup whose answer is lost, and leave it to people; return its id."""
        topup_id = str(uuid7())
        await self._adapter.send(sale(ending, topup_id=topup_id), Attempt(topup_id))
        await self.bench.start(topup_id)
        await self.bench.finish(topup_id, "n1", State.UNRESOLVED)
        await self.schedule.add(0, LANE, [topup_id], now_ms=0)
        return topup_id

    async def ask(self, adapter: SandboxLatcom | None = None) -> None:
        """Let a second pass."""
        await self.watch.refresh(0)
        await take_each(self.asker(adapter).turns())

    def times(self, topup_id: str, what: str) -> int:
        """Return how often the provider was asked for it (`asked`), or about it (`inquired`)."""
        return int(self.provider.book(topup_id)[what])


@pytest.fixture
async def limbo(redis: Client, provider: Sandbox) -> AsyncIterator[Limbo]:
    """An empty one."""
    adapter = sandbox_latcom(provider.url, inquiry=True)
    made = Limbo(redis, adapter, provider)
    await made.bench.topups.prepare(LANE)
    yield made
    await made.bench.check_counters()
    await adapter.close()


async def test_a_yes_settles_it_as_a_late_answer_does(limbo: Limbo) -> None:
    """At once, with the provider's words as evidence; it was sent once, and asked about once."""
    topup_id = await limbo.lose(PAID)
    await limbo.ask()
    assert await limbo.bench.outcomes(topup_id) == [(1, "unresolved"), (2, "succeeded")]
    await limbo.ask()
    assert (limbo.times(topup_id, "asked"), limbo.times(topup_id, "inquired")) == (1, 1)


async def test_a_no_settles_it_only_after_the_quarantine(limbo: Limbo) -> None:
    """Before, it may still be on its way; what settles it is an act in the audit."""
    topup_id = await limbo.lose(REFUSED)
    await limbo.ask()
    assert await limbo.bench.state(topup_id) == "unresolved"
    await limbo.bench.pass_time(QUARANTINE_MS + SLACK_MS)
    await limbo.ask()
    assert await limbo.bench.outcomes(topup_id) == [(1, "unresolved"), (2, "failed")]
    (_, act), *_ = await limbo.bench.client.xrevrange(limbo.bench.keys.acts, count=1)
    assert (act[b"act"], act[b"who"]) == (b"topup.resolve", OWNER.encode())
    assert b"the provider was asked again" in act[b"why"]


async def test_a_no_settles_nothing_while_people_say_that_it_was_paid(limbo: Limbo) -> None:
    """Also of what was on the schedule before they did; a person decides, and has the answer."""
    topup_id = await limbo.lose(REFUSED)
    await limbo.bench.pass_time(QUARANTINE_MS + SLACK_MS)
    standing = Standing(limbo.bench.client, limbo.bench.topups)
    await standing.stand(0, [(topup_id, "p1")])
    await limbo.ask()
    assert await limbo.bench.state(topup_id) == "unresolved"
    assert limbo.times(topup_id, "inquired") == 1
    assert await limbo.bench.dead() == [(topup_id, "disputed")]
    await standing.fall(0, [(topup_id, "p1")])
    await limbo.bench.pass_time(HOUR_MS)
    await limbo.ask()
    assert await limbo.bench.outcomes(topup_id) == [(1, "unresolved"), (2, "failed")]


async def test_never_heard_of_it_leaves_it_to_people(limbo: Limbo) -> None:
    """However late, and it is never sent again."""
    topup_id = await limbo.lose(NEVER_ARRIVED)
    for _ in range(3):
        await limbo.bench.pass_time(7 * HOUR_MS)
        await limbo.ask()
    assert await limbo.bench.state(topup_id) == "unresolved"
    assert (limbo.times(topup_id, "asked"), limbo.times(topup_id, "inquired")) == (1, 3)


async def test_a_doubt_about_several_sends_is_no_ones_to_deny(limbo: Limbo) -> None:
    """A refusal speaks of one of them, and another one may have paid."""
    topup_id = await limbo.lose(REFUSED)
    await limbo.bench.client.hset(limbo.bench.keys.record(topup_id), "doubt", "many")
    await limbo.bench.pass_time(QUARANTINE_MS + SLACK_MS)
    await limbo.ask()
    assert await limbo.bench.state(topup_id) == "unresolved"
    assert limbo.times(topup_id, "inquired") == 1


async def test_few_are_asked_about_at_a_time_and_none_behind_a_held_lane(limbo: Limbo) -> None:
    """A provider that is in trouble is left alone; what people ask is not crowded out."""
    lost = [await limbo.lose(PAID) for _ in range(AT_ONCE + 1)]
    lanes = Lanes(limbo.bench.client, limbo.bench.topups)
    await lanes.hold(LANE, until_ms=None, replace=True, act=act_by("ana", why="strike"))
    await limbo.ask()
    assert [await limbo.bench.state(one) for one in lost] == ["unresolved"] * len(lost)
    await lanes.release(LANE, act=act_by("ana", why="it is over"))
    await limbo.ask()
    states = [await limbo.bench.state(one) for one in lost]
    assert sorted(states) == ["succeeded"] * AT_ONCE + ["unresolved"]
    await limbo.ask()
    assert [await limbo.bench.state(one) for one in lost] == ["succeeded"] * len(lost)


async def test_a_provider_that_does_not_answer_is_asked_later(limbo: Limbo) -> None:
    """Nothing is settled, and nothing breaks."""
    topup_id = await limbo.lose(PAID)
    away = sandbox_latcom("http://127.0.0.1:9", inquiry=True)
    await limbo.ask(away)
    await away.close()
    await limbo.ask()
    assert await limbo.bench.state(topup_id) == "unresolved"
    await limbo.bench.pass_time(HOUR_MS)
    await limbo.ask()
    assert await limbo.bench.state(topup_id) == "succeeded"
