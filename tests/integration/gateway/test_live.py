"""The live picture: what it shows, to how many, and that nobody pays for it."""

import asyncio
import socket
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest

from services.gateway.app import Gateway
from services.gateway.page import events, viewers
from services.gateway.page.ends import ENDS_MAX
from services.gateway.page.looking import Looking
from shared.contracts.peers import Totals
from shared.contracts.states import State
from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client
from tests.integration.bus.bench import Bench
from tests.integration.gateway.browser import Browser
from tests.integration.gateway.house import ADMIN_KEY, House
from tests.integration.gateway.people import sell

pytestmark = pytest.mark.integration

KEY = {"x-admin-key": ADMIN_KEY}


@pytest.fixture
async def browser(home: House, gateway: str) -> Browser:
    browser = Browser(home, gateway)
    await browser.sign_in()
    return browser


def served_by(home: House, name: str = "gateway-1") -> Gateway:
    service = home._open[name]
    assert isinstance(service, Gateway)
    return service


async def test_a_frame_tells_where_topups_and_money_are(
    home: House, browser: Browser, bench: Bench
) -> None:
    """Counts, lanes, ends with a masked phone, replicas, and the books' sums."""
    home.ledger.totals = Totals(
        total_transactions=50,
        revenue={"MXN": 50_000},
        today_transactions=49,
        today_volume={"MXN": 49_000},
        unresolved_transactions=1,
        unresolved_volume={"MXN": 1_050},
    )
    topup_id = await sell(home, browser.gateway, bench, State.SUCCEEDED)
    async with browser.watching() as watching:
        assert await watching.event() == ("past", [])
        frame = await watching.frame()
    assert frame["gateway"] == "gateway-1"
    assert frame["unknown"] == {}
    flow = frame["flow"]
    assert (flow["counts"]["completed"], flow["counts"]["waiting"]) == (1, 0)
    assert [lane["provider"] for lane in flow["lanes"]] == ["DTONE", "LATCOM", "RELOADLY"]
    ((ended),) = flow["recent"]
    assert (ended["topup_id"], ended["status"]) == (topup_id, "succeeded")
    assert ended["phone"] == "+52********83"
    assert ended["took_ms"] >= 0
    assert flow["took"]["of"] == 1
    assert frame["sold"]["today"] == {"transactions": 49, "volume": {"MXN": "490.00"}}


async def test_rates_and_shares_are_of_what_happens_meanwhile(
    home: House, browser: Browser, bench: Bench
) -> None:
    """Two that succeed and one that fails, while somebody watches."""
    async with browser.watching() as watching:
        assert (await watching.frame())["flow"]["rates"] is None
        for end in (State.SUCCEEDED, State.SUCCEEDED, State.FAILED):
            await sell(home, browser.gateway, bench, end)

        async def lane() -> dict[str, object]:
            lanes = (await watching.frame())["flow"]["lanes"]
            found: dict[str, object] = next(one for one in lanes if one["provider"] == "LATCOM")
            return found

        async with asyncio.timeout(10):
            while (seen := await lane())["ended"] != 3:
                pass
    share = seen["success_share"]
    assert isinstance(share, float)
    assert round(share, 3) == 0.667


async def test_who_comes_later_is_told_of_the_last_minutes(browser: Browser) -> None:
    """The charts begin with what the gateway has seen for others."""
    async with browser.watching() as first:
        frame = await first.frame()
        async with browser.watching() as second:
            name, past = await second.event()
    assert name == "past"
    assert frame["at"] in [point["at"] for point in past]


async def test_a_key_in_the_header_may_watch_too(browser: Browser) -> None:
    """As the command `topup top` does."""
    browser.cookie = ""
    async with browser.watching(**KEY) as watching:
        assert (await watching.frame())["flow"] is not None


async def test_while_streams_or_books_are_away_the_rest_is_shown(
    home: House, browser: Browser, redis: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part for itself; what cannot be asked is told, and is no zero."""
    home.ledger.silent = True
    async with browser.watching() as watching:
        frame = await watching.frame()
    assert (frame["sold"], "books" in frame["unknown"]) == (None, True)
    assert frame["flow"] is not None

    async def away(*_: object) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr("services.gateway.page.ends.Ends.read", away)
    async with browser.watching() as watching:
        frame = await watching.frame()
    assert (frame["flow"], "streams" in frame["unknown"]) == (None, True)


async def test_nothing_is_gathered_while_nobody_looks(
    home: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once for all who do: three viewers are one."""
    looks = 0
    look = Looking.look

    async def counted(self: Looking) -> object:
        nonlocal looks
        looks += 1
        return await look(self)

    monkeypatch.setattr(Looking, "look", counted)
    monkeypatch.setattr(viewers, "EACH_S", 0.05)
    async with AsyncExitStack() as stack:
        all_ = [await stack.enter_async_context(browser.watching()) for _ in range(3)]
        before = looks
        seen = [await one.frame() for one in all_ for _ in range(4)]
        assert len({frame["at"] for frame in seen}) <= looks - before + 1
        assert looks - before < len(seen)

    async def nobody() -> bool:
        return served_by(home)._viewers._task is None

    await home.until(nobody)
    ended = looks
    await asyncio.sleep(4 * viewers.EACH_S)  # nothing is to happen: there is nothing to wait for
    assert looks == ended


async def test_so_many_watch_one_gateway_and_no_more(browser: Browser, home: House) -> None:
    """The next is told so, and who leaves makes room."""
    async with AsyncExitStack() as stack:
        for _ in range(viewers.VIEWERS_MAX):
            await stack.enter_async_context(browser.watching())
        assert (await browser.look("events")).code == "unavailable"

    async def room() -> bool:
        return not served_by(home)._viewers._viewers

    await home.until(room)
    async with browser.watching() as watching:
        await watching.frame()


def large(name: str, _what: object) -> bytes:
    """Return an event that fills a connection soon."""
    return b'event: %b\ndata: "%b"\n\n' % (name.encode(), b"x" * 300_000)


async def test_who_takes_nothing_is_dropped(
    home: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has held nobody up meanwhile: all others get each frame."""
    monkeypatch.setattr(viewers, "EACH_S", 0.01)
    monkeypatch.setattr(events, "TAKE_S_MAX", 0.3)
    monkeypatch.setattr(viewers, "event", large)
    address = urlsplit(browser.gateway)
    with socket.create_connection((address.hostname, address.port)) as deaf:
        head = f"GET /api/admin/events HTTP/1.1\r\nhost: here\r\nx-admin-key: {ADMIN_KEY}\r\n\r\n"
        deaf.sendall(head.encode())
        watching = served_by(home)._viewers._viewers

        async def came() -> bool:
            return len(watching) == 1

        async def dropped() -> bool:
            return not watching

        await home.until(came)
        await home.until(dropped)


async def test_a_drain_ends_all_who_watch(home: House, browser: Browser) -> None:
    """They are told that it is over, and ask another gateway."""
    async with browser.watching() as watching:
        await watching.frame()
        stopping = asyncio.create_task(home.stop("gateway-1"))
        names = []
        while (event := await watching.event())[0]:
            names.append(event[0])
        assert names[-1] == "over"
        await stopping


async def test_of_a_crowd_only_the_newest_are_looked_at(
    home: House, browser: Browser, redis: Client
) -> None:
    """A look costs the same, however many have ended meanwhile."""
    stream = PartitionKeys(0).outcomes
    for number in range(3 * ENDS_MAX):
        await redis.xadd(stream, {"id": str(number), "state": "succeeded"})  # nobody can read it
    found = served_by(home)
    ends = found._viewers._make()._ends
    assert await ends.read() == []
    assert ends._places[stream] == (await redis.xrevrange(stream, count=1))[0][0].decode()
