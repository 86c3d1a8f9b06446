"""The sliding window: exact, by the server's clock, against a plain model of what it should be."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from services.ratelimiter.store import GATEWAYS_KEY, PREFIX, Windows, script, window_key
from shared.contracts.peers import LimitCheck, LimitReply, LimitRequest, LimitVerdict
from shared.runtime.redis import Client, connect

pytestmark = pytest.mark.integration

WINDOW_MS = 60_000
START_MS = 1_800_000_000_000
CLOCK_KEY = f"{PREFIX}clock"
TIME_CALL = "redis.call('TIME')"

_names = (f"customer-{number}" for number in count())


def with_a_clock_of_ours() -> str:
    """Return the script, but for its one look at the clock: that is at ours."""
    text = script()
    assert text.count(TIME_CALL) == 1
    return text.replace(TIME_CALL, f"redis.call('LRANGE', '{CLOCK_KEY}', 0, -1)")


class Clocked:
    """Windows whose clock the test sets."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._windows = Windows(client, text=with_a_clock_of_ours())

    async def take(self, now_ms: int, *checks: tuple[str, int], gateway: str = "g") -> LimitReply:
        """Ask at that moment."""
        await self._client.delete(CLOCK_KEY)
        await self._client.rpush(CLOCK_KEY, now_ms // 1_000, now_ms % 1_000 * 1_000 + 7)
        request = LimitRequest(gateway, [LimitCheck(*check) for check in checks])
        (reply,) = await self._windows.take([request])
        return reply


class Model:
    """The window as one would explain it: the moments of the last minute, in a list."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def take(self, now_ms: int, limit: int) -> LimitVerdict:
        """Take a place if fewer than `limit` were taken in the last 60 seconds."""
        past = [min(moment, now_ms) for moment in self.taken]
        self.taken = [moment for moment in past if moment > now_ms - WINDOW_MS]
        allowed = len(self.taken) < limit
        if allowed:
            self.taken.append(now_ms)
        return LimitVerdict(allowed, max(limit - len(self.taken), 0), self._reset_ms(now_ms, limit))

    def _reset_ms(self, now_ms: int, limit: int) -> int:
        if limit <= 0 or not self.taken:
            return WINDOW_MS
        in_the_way = max(len(self.taken) - limit, 0)
        return self.taken[in_the_way] + WINDOW_MS - now_ms


@pytest.fixture
async def clocked(redis: Client) -> Clocked:
    """Windows on an empty Valkey."""
    return Clocked(redis)


@pytest.fixture
def run(valkey_url: str) -> Iterator[Callable[[Callable[[Clocked], Awaitable[None]]], None]]:
    """Run one example after the other on one loop and one connection."""
    loop = asyncio.new_event_loop()
    client = connect(valkey_url)
    clocked = Clocked(client)

    def once(example: Callable[[Clocked], Awaitable[None]]) -> None:
        loop.run_until_complete(_awaited(example(clocked)))

    yield once
    loop.run_until_complete(client.aclose())
    loop.close()


async def _awaited(work: Awaitable[None]) -> None:
    await work


Run = Callable[[Callable[[Clocked], Awaitable[None]]], None]
forward = st.one_of(st.integers(0, 3), st.integers(0, 70_000))
anyhow = st.one_of(forward, st.integers(-90_000, 0))
limits = st.integers(0, 5)
examples = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@examples
@given(st.lists(st.tuples(anyhow, st.lists(limits, min_size=1, max_size=6)), max_size=25))
def test_it_answers_as_the_model_does(run: Run, steps: list[tuple[int, list[int]]]) -> None:
    """Several in one millisecond, in one batch, limits that change, a clock that goes back."""

    async def example(clocked: Clocked) -> None:
        customer, model, now_ms = next(_names), Model(), START_MS
        for step_ms, wanted in steps:
            now_ms += step_ms
            expected = [model.take(now_ms, limit) for limit in wanted]
            reply = await clocked.take(now_ms, *((customer, limit) for limit in wanted))
            assert reply.verdicts[-1] == expected[-1]
            assert reply.verdicts == expected

    run(example)


@examples
@given(st.lists(forward, max_size=40), st.integers(1, 4))
def test_no_minute_holds_more_than_the_limit_and_none_is_wasted(
    run: Run, steps: list[int], limit: int
) -> None:
    """Refused means: exactly `limit` places were taken in the 60 s before; counted afterwards."""

    async def example(clocked: Clocked) -> None:
        customer, now_ms, taken = next(_names), START_MS, list[int]()
        for step_ms in steps:
            now_ms += step_ms
            verdict = (await clocked.take(now_ms, (customer, limit))).verdicts[0]
            lately = sum(now_ms - WINDOW_MS < moment for moment in taken)
            assert verdict.allowed == (lately < limit)
            if verdict.allowed:
                taken.append(now_ms)

    run(example)


async def test_the_window_slides_to_the_millisecond(clocked: Clocked) -> None:
    """A place is free again exactly a minute after it was taken, not at the turn of the minute."""
    await clocked.take(START_MS, ("A", 2))
    await clocked.take(START_MS + 30_000, ("A", 2))
    refused = (await clocked.take(START_MS + 59_999, ("A", 2))).verdicts[0]
    assert refused == LimitVerdict(False, 0, 1)
    allowed = (await clocked.take(START_MS + 60_000, ("A", 2))).verdicts[0]
    assert allowed == LimitVerdict(True, 0, 30_000)


async def test_asking_in_vain_takes_no_place(clocked: Clocked) -> None:
    """Who keeps asking is not kept out by that."""
    for second in range(60):
        await clocked.take(START_MS + second * 1_000, ("A", 1))
    assert (await clocked.take(START_MS + 60_000, ("A", 1))).verdicts[0].allowed


async def test_customers_do_not_share_a_window(clocked: Clocked) -> None:
    """In one batch each is counted for itself."""
    reply = await clocked.take(START_MS, ("A", 1), ("B", 1), ("A", 1), ("B", 1))
    assert [verdict.allowed for verdict in reply.verdicts] == [True, True, False, False]


async def test_memory_is_bounded_and_given_back(clocked: Clocked, redis: Client) -> None:
    """A window holds at most `limit` moments, and every key ends by itself."""
    for second in range(300):
        await clocked.take(START_MS + second * 1_000, ("A", 3), ("A", 3))
    assert await redis.llen(window_key("A")) <= 3
    await clocked.take(START_MS - WINDOW_MS, ("A", 3))  # the clock went back: rewritten
    for key in await redis.keys(f"{PREFIX}*"):
        if key.decode() != CLOCK_KEY:
            assert 0 < await redis.pttl(key) <= WINDOW_MS


async def test_gateways_are_counted_while_they_are_heard(clocked: Clocked, redis: Client) -> None:
    """The count is that of the last ten seconds, and one for all ratelimiters."""
    assert (await clocked.take(START_MS, gateway="g1")).gateways == 1
    assert (await clocked.take(START_MS + 5_000, gateway="g2")).gateways == 2
    assert (await Clocked(redis).take(START_MS + 9_000, gateway="g1")).gateways == 2
    assert (await clocked.take(START_MS + 18_000, gateway="g1")).gateways == 1
    assert await redis.zcard(GATEWAYS_KEY) == 1


@pytest.fixture
async def several(redis_url: str) -> AsyncIterator[list[Windows]]:
    """Four ratelimiters' windows on one Redis."""
    clients = [connect(redis_url) for _ in range(4)]
    yield [Windows(client) for client in clients]
    for client in clients:
        await client.aclose()


async def test_several_ratelimiters_are_one_limit(several: list[Windows]) -> None:
    """Four at once, by the server's own clock: 200 places and not one more."""
    batch = [LimitRequest("g", [LimitCheck("A", 200)] * 20)]
    replies = await asyncio.gather(*(windows.take(batch) for windows in several * 5))
    verdicts = [verdict for (reply,) in replies for verdict in reply.verdicts]
    assert sum(verdict.allowed for verdict in verdicts) == 200
    assert len(verdicts) == 400


def test_a_batch_is_one_round_trip(valkey_url: str, run: Run) -> None:
    """However many checks: the server sees one command."""

    async def example(clocked: Clocked) -> None:
        await clocked.take(START_MS, ("A", 1))
        with Redis.from_url(valkey_url) as server:
            server.config_resetstat()
            await clocked._windows.take([LimitRequest("g", [LimitCheck("A", 9)] * 256)])
            calls = server.info("commandstats")
        assert calls["cmdstat_evalsha"]["calls"] == 1
        assert "cmdstat_eval" not in calls

    run(example)
