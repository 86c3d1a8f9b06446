"""Who is kept out, in a real browser: keys, sessions, other people's pages and texts."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from playwright.async_api import expect

from services.gateway.sessions import SESSION_S
from shared.bus.lanes import Lanes
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.contracts.states import State
from shared.runtime.redis import Client
from tests.integration.bus.bench import Bench
from tests.integration.gateway.house import ADMIN_KEY, House
from tests.integration.gateway.people import sell

pytestmark = pytest.mark.page
Opened = Callable[..., Any]
CODE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


@pytest.fixture
async def elsewhere(gateway: str) -> AsyncIterator[str]:
    """Another site, whose page frames ours, and acts with whatever cookie comes along."""
    page = f"""<iframe src="{gateway}/admin"></iframe><script>
      const hold = {{method: "POST", credentials: "include", body: '{{"reason": "theirs"}}'}};
      const url = "{gateway}/api/admin/lanes/LATCOM/hold";
      Promise.allSettled([
        fetch(url, {{...hold, mode: "no-cors"}}),
        fetch(url, {{...hold, headers: {{"content-type": "application/json"}}}}),
        fetch("{gateway}/api/admin/session", {{credentials: "include"}}).then((r) => r.text()),
      ]).then((all) => document.title = all.map((one) => one.status).join());
    </script>"""

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", show)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_a_wrong_key_is_told_so_and_a_right_one_gets_in(gateway: str, desk: Opened) -> None:
    """Nothing of the figures is to be seen before."""
    async with desk(gateway) as one:
        await one.sign_in("operator_nobody")
        await expect(one.page.get_by_role("alert")).to_have_text("That is the key of no operator")
        await expect(one.page.locator("#page")).to_be_hidden()
        await one.give(ADMIN_KEY)
        await one.is_live()
        await expect(one.page.locator("#verdict")).to_have_text("All is quiet.")
        assert await one.page.evaluate("document.cookie") == ""


async def test_a_session_that_ends_asks_for_the_key_again(
    home: House, gateway: str, desk: Opened
) -> None:
    """While somebody only watches; and he goes on where he was."""
    async with desk(gateway) as one:
        await one.sign_in(ADMIN_KEY)
        await one.is_live()
        home.clock.ahead_s = SESSION_S
        await expect(one.page.locator("#gate-why")).to_have_text(
            "Your session has ended. Sign in to go on."
        )
        await expect(one.page.locator("#page")).to_be_hidden()
        await one.give(ADMIN_KEY)
        await one.is_live()


async def test_what_cannot_be_asked_is_told_in_its_place(
    home: House, gateway: str, desk: Opened, shots: Path
) -> None:
    """The books are away: what the streams tell is shown, the rest says why, and is asked again."""
    home.ledger.silent = True
    async with desk(gateway) as one:
        await one.sign_in(ADMIN_KEY)
        await one.is_live()
        await expect(one.page.locator("#verdict")).to_have_text("The books do not answer.")
        for part in ("#unresolved", "#acts"):
            alert = one.page.locator(part).get_by_role("alert")
            await expect(alert).to_contain_text("The books cannot be asked right now")
            await alert.get_by_role("button", name="Ask again").click()
            await expect(alert).to_be_visible()
        await expect(one.page.locator('[data-lane="LATCOM"]')).to_contain_text("not served")
        await expect(one.page.locator("#dead-body")).to_contain_text("Nothing was put aside")
        await one.page.screenshot(path=shots / "books-away.png", full_page=True)


async def test_signing_out_leaves_nothing(gateway: str, desk: Opened) -> None:
    """Nor does coming back."""
    async with desk(gateway) as one:
        await one.sign_in(ADMIN_KEY)
        await one.is_live()
        await one.page.get_by_role("button", name="Sign out").click()
        await expect(one.page.locator("#page")).to_be_hidden()
        await one.page.reload()
        await expect(one.page.get_by_label("Operator key")).to_be_visible()


async def test_a_lost_connection_is_told_and_comes_back(
    home: House, gateway: str, desk: Opened
) -> None:
    """Old figures are marked as old; nobody has to reload."""
    async with desk(gateway) as one:
        await one.sign_in(ADMIN_KEY)
        await one.is_live()
        await home.stop("gateway-1")
        await expect(one.page.locator("#live")).to_have_text("connection lost")
        await expect(one.page.locator("#page[data-old]")).to_be_visible()
        await home.gateway("gateway-1", port=urlsplit(gateway).port)
        await one.is_live()
        await expect(one.page.locator("#page[data-old]")).to_have_count(0)


async def test_another_sites_page_gets_nothing(
    home: House, gateway: str, elsewhere: str, desk: Opened
) -> None:
    """No frame of ours, no answer of ours, and nothing done with our cookie."""
    async with desk(gateway) as one:
        await one.sign_in(ADMIN_KEY)
        await one.is_live()
        other = await one.page.context.new_page()
        await other.goto(elsewhere)
        await expect(other).to_have_title("fulfilled,rejected,rejected")
        framed = other.frames[1]
        assert framed.url != f"{gateway}/admin"
        assert await framed.locator("#gate").count() == 0
    lanes = (await home.admin(gateway, "lanes")).json["lanes"]
    assert {lane["state"] for lane in lanes} == {"open"}


async def test_texts_of_others_are_never_code(
    home: House, gateway: str, redis: Client, bench: Bench, desk: Opened
) -> None:
    """A merchant's reference and metadata, an operator's reason: they stand there as they are."""
    reference = CODE.replace(" ", "/")  # a key has no spaces
    await sell(home, gateway, bench, State.SUCCEEDED)
    body = {"phone": "5566374683", "amount": 10, "provider": "LATCOM", "metadata": {CODE: CODE}}
    written = (await home.post(gateway, body, key=reference)).json["topup_id"]
    lanes = Lanes(redis, Topups(redis, partitions=1, window_ms=0))
    await lanes.hold("LATCOM", act=act_by("ana", why=CODE))
    async with desk(gateway) as one:
        await one.sign_in(ADMIN_KEY)
        await one.is_live()
        await expect(one.page.locator('[data-lane="LATCOM"]')).to_contain_text(CODE)
        await expect(one.page.locator("#verdict-more")).to_contain_text(CODE)
        await one.page.locator("#search-text").fill(written)
        await one.page.keyboard.press("Enter")
        await expect(one.page.locator("#sheet")).to_contain_text(reference)
        await one.page.keyboard.press("Escape")
        await one.page.locator("#search-text").fill(CODE)
        await one.page.keyboard.press("Enter")
        await expect(one.page.locator("#sheet-title")).to_contain_text(CODE)
        assert await one.page.evaluate("window.hacked") is None
