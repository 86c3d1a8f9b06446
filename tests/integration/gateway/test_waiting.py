"""`Prefer: wait`: an answer that waits for the topup's end; free while nobody waits."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ops.embedded import Running
from services.gateway.app import Gateway
from services.gateway.merchant import waiting
from shared.bus.messages import Outcome, Terms, Work
from shared.bus.records import Record
from shared.bus.topups import Topups
from shared.contracts.states import State
from shared.runtime.redis import Client, connect
from tests.integration.gateway.house import Answer, House, house
from tests.vouching import vouch_for

pytestmark = pytest.mark.integration

TERMS = Terms(
    kind="neither",
    lease_ms=60_000,
    quarantine_ms=60_000,
    dedupe_window_ms=0,
    refusal_covers=False,
    hold_ms=1_000,
    breaker=0,
)


async def settle(redis: Client, topup_id: str, to: State = State.SUCCEEDED) -> None:
    """End a topup as a dispatcher does."""
    topups = Topups(redis, partitions=1, window_ms=60_000)
    (record,) = await topups.look(0, [topup_id])
    assert isinstance(record, Record)
    entry = (await redis.hget(topups.keys[0].record(topup_id), "entry")).decode()
    work = Work(id=topup_id, entry=entry, key_hash=record.request.key_hash, nonce="n")
    await topups.begin(0, "LATCOM", [work], owner="d", terms=TERMS)
    end = Outcome(
        id=topup_id,
        key_hash=record.request.key_hash,
        nonce="n",
        to=to,
        reason="" if to is State.SUCCEEDED else "refused",
        provider_reference="P-1",
        evidence=b"",
    )
    await topups.finish(0, "LATCOM", [end], terms=TERMS)


def gateways(home: House) -> list[Gateway]:
    """Return the gateways that run."""
    return [one for one in home._open.values() if isinstance(one, Gateway)]


def waiters(home: House) -> int:
    """Return how many requests wait now."""
    return sum(len(gateway._waiting._waiting) for gateway in gateways(home))


class Post:
    """A topup whose answer is waited for in the background."""

    def __init__(self, home: House, gateway: str, prefer: str = "wait=50", **how: Any) -> None:
        self._home = home
        before = waiters(home)
        self._answer = asyncio.create_task(home.post(gateway, prefer=prefer, **how))
        self._before = before

    async def waits(self) -> None:
        """Return when it does."""

        async def one_more() -> bool:
            return waiters(self._home) > self._before

        await self._home.until(one_more)

    async def answer(self) -> Answer:
        """Return what came back, long before the 50 s are over."""
        async with asyncio.timeout(20):
            return await self._answer


async def newest(redis: Client) -> str:
    """Return the id of the topup that was accepted last."""
    ((_, fields),) = await redis.xrevrange("topup:{0}:requests:LATCOM", count=1)
    topup_id: str = fields[b"id"].decode()
    return topup_id


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
async def test_the_answer_comes_with_the_end(
    home: House, gateway: str, redis: Client, state: State
) -> None:
    """200, and what a GET would say."""
    post = Post(home, gateway)
    await post.waits()
    await settle(redis, await newest(redis), state)
    answer = await post.answer()
    assert answer.status == 200
    assert answer.json["status"] == state.value
    assert answer.headers["preference-applied"] == "wait=50"
    assert answer.json == (await home.show(gateway, answer.json["topup_id"])).json


async def test_unresolved_is_an_end_to_the_waiting(
    home: House, gateway: str, redis: Client
) -> None:
    """People decide from here, and nobody waits for people; it is not final, so 202."""
    post = Post(home, gateway, key="k")
    await post.waits()
    await settle(redis, await newest(redis), State.UNRESOLVED)
    answer = await post.answer()
    assert (answer.status, answer.json["status"]) == (202, "unresolved")
    again = await Post(home, gateway, key="k").answer()
    assert (again.status, again.json) == (202, answer.json)


async def test_at_the_limit_it_is_the_202_as_without(home: House, gateway: str) -> None:
    """With the topup as it is by then."""
    answer = await home.post(gateway, prefer="wait=1")
    assert (answer.status, answer.json["status"]) == (202, "queued")
    assert answer.headers["preference-applied"] == "wait=1"


async def test_a_repeat_waits_too_and_many_share_one_tail(
    home: House, gateway: str, redis: Client
) -> None:
    """All are answered by the same end, on whichever gateway."""
    other = await home.gateway("gateway-2")
    await home.post(gateway, key="k")
    posts = []
    for number in range(10):
        posts.append(Post(home, (gateway, other)[number % 2], key="k"))
        await posts[-1].waits()
    tails = [tail for one in gateways(home) for tail in one._waiting._tails]
    assert len(tails) == 2
    await settle(redis, await newest(redis))
    answers = [await post.answer() for post in posts]
    assert {answer.status for answer in answers} == {200}
    assert {answer.headers["idempotent-replayed"] for answer in answers} == {"true"}


async def test_nothing_is_read_while_nobody_waits(home: House, gateway: str, redis: Client) -> None:
    """The tail ends with the last waiter, and begins again with the next."""
    (running,) = gateways(home)
    (tail,) = running._waiting._tails
    assert tail.task is None
    for _ in range(2):
        post = Post(home, gateway)
        await post.waits()
        await settle(redis, await newest(redis))
        assert (await post.answer()).status == 200

        async def ended() -> bool:
            return tail.task is not None and tail.task.done()

        await home.until(ended)
        assert not tail._eyes


async def test_a_draining_gateway_answers_its_waiters(home: House, gateway: str) -> None:
    """202 at once: the topup goes on without it."""
    post = Post(home, gateway)
    await post.waits()
    await home.stop("gateway-1")
    answer = await post.answer()
    assert (answer.status, answer.json["status"]) == (202, "queued")


async def test_more_waiters_than_places_are_answered_at_once(
    home: House, gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header says that nothing was waited for."""
    monkeypatch.setattr(waiting, "WAITERS_MAX", 1)
    post = Post(home, gateway)
    await post.waits()
    answer = await home.post(gateway, prefer="wait=50")
    assert answer.status == 202
    assert "preference-applied" not in answer.headers


async def until_both_tails_block(home: House, client: Client) -> None:
    """Return when the gateway waits for keys and for outcomes."""

    async def both_do() -> bool:
        return bool((await client.info("clients"))["blocked_clients"] == 2)

    await home.until(both_do)


async def test_a_wait_outlives_the_servers_restart(redis_url: str, tmp_path: Path) -> None:
    """What ended meanwhile is told when the streams are back."""
    streams = Running.valkey(tmp_path / "streams")
    vouch_for(streams.url)
    async with house(streams.url, redis_url) as home:
        gateway = await home.gateway()
        post = Post(home, gateway)
        await post.waits()
        client = connect(streams.url)
        await until_both_tails_block(home, client)
        await home.show(gateway, await newest(client))  # after the waiter's own look
        await client.aclose()
        streams.kill()
        streams.revive()
        vouch_for(streams.url)
        client = connect(streams.url)
        await settle(client, await newest(client))
        await client.aclose()
        assert (await post.answer()).status == 200
    streams.stop()


@pytest.mark.parametrize("prefer", ["wait", "wait=soon", "wait=-1", 'wait="', "respond-async"])
async def test_what_cannot_be_read_is_ignored(home: House, gateway: str, prefer: str) -> None:
    """RFC 7240: a preference never makes a request wrong."""
    answer = await home.post(gateway, prefer=prefer)
    assert answer.status == 202
    assert "preference-applied" not in answer.headers
