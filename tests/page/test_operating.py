"""What an operator does at the page, on a whole stack, in a real browser."""

import asyncio
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Page, expect

from tests.page.conftest import PHONE, Desk
from tests.system.stack import Stack, until

pytestmark = [
    pytest.mark.page,
    pytest.mark.settings(SANDBOX_LATENCY="20-200", LATCOM_TIMEOUT="2s", STALL="3s"),
]
Opened = Callable[..., Any]


async def key_of(stack: Stack, name: str) -> str:
    """Let somebody operate; return the key."""
    done = await asyncio.to_thread(stack.topup, "operators", "add", name, "--json")
    assert done.returncode == 0, done.stderr
    key: str = json.loads(done.stdout)["key"]
    asked = {"x-admin-key": key}

    async def known() -> bool:
        return all([(await stack.get("/api/admin/lanes", **asked))[0] == 200 for _ in range(6)])

    await until(known)
    return key


async def into_limbo(stack: Stack) -> str:
    """Sell something whose answer is lost; return its id once people are told of it."""
    _, body = await stack.post(phone="5566374904")
    topup_id: str = body["topup_id"]

    async def listed() -> bool:
        _, page = await stack.get("/api/admin/unresolved?limit=1000")
        return topup_id in [one["topup_id"] for one in page["topups"]]

    await until(listed, within_s=40)
    return topup_id


async def row(page: Page, topup_id: str, part: str) -> Any:
    return page.locator(f'{part} a[href="#topup/{topup_id}"]')


async def test_a_topup_goes_by_and_tells_its_story(stack: Stack, desk: Opened) -> None:
    """It appears by itself, counts in the tiles, and leads to all that is known of it."""
    async with desk(stack.url) as one:
        await one.sign_in(stack.env["TOPUP_ADMIN_KEY"])
        await one.is_live()
        _, body = await stack.post(phone="5566374683")
        link = await row(one.page, body["topup_id"], "#recent")
        await expect(link).to_contain_text("+52********83")
        await expect(one.page.locator("#verdict")).to_have_text("Money is moving.")
        await link.click()
        sheet = one.page.locator("#sheet")
        await expect(sheet).to_contain_text(body["topup_id"])
        await expect(sheet.locator(".timeline li").first).to_contain_text("accepted")
        assert "5566374683" not in await sheet.inner_text()
        await one.page.keyboard.press("Escape")
        await expect(sheet).to_be_hidden()
        await expect(one.page).to_have_url(f"{one.url}/admin")


async def test_a_lane_is_held_and_released_by_its_button(stack: Stack, desk: Opened) -> None:
    """With a reason that everybody sees; without one nothing is done."""
    async with desk(stack.url) as one:
        await one.sign_in(stack.env["TOPUP_ADMIN_KEY"])
        await one.is_live()
        page = one.page
        await page.get_by_role("button", name="Hold DTONE").click()
        await page.locator("#act").get_by_role("button", name="Hold DTONE").click()
        await expect(page.locator("#act .problem")).to_contain_text("Why")
        await page.get_by_label("Why").fill("their maintenance")
        await page.locator("#act").get_by_role("button", name="Hold DTONE").click()
        lane = page.locator('[data-lane="DTONE"]')
        await expect(lane).to_contain_text("their maintenance: by admin")
        await expect(page.locator("#verdict")).to_have_text("DTONE is held.")
        await expect(page.locator("#acts-body li").first).to_contain_text("lane hold")
        await page.get_by_role("button", name="Release DTONE").click()
        await page.locator("#act").get_by_role("button", name="Release DTONE").click()
        await expect(lane.locator(".chip")).to_have_text("open")


async def test_money_in_limbo_is_settled_by_two_people(stack: Stack, desk: Opened) -> None:
    """Who proposed cannot confirm; the other one can, and both see what became of it."""
    ana, ben = await key_of(stack, "ana"), await key_of(stack, "ben")
    topup_id = await into_limbo(stack)
    async with desk(stack.url) as first, desk(stack.url) as second:
        await first.sign_in(ana)
        await (await row(first.page, topup_id, "#unresolved")).click()
        await first.page.get_by_role("button", name="Propose: succeeded").click()
        await first.page.get_by_label("What it rests on").fill("ticket 4711: it was paid")
        await first.page.get_by_label("A file that shows it").set_input_files(
            {"name": "letter.txt", "mimeType": "text/plain", "buffer": b"paid"}
        )
        await first.page.get_by_role("button", name="Propose succeeded").click()
        sheet = first.page.locator("#sheet")
        await expect(sheet).to_contain_text("You proposed it: another person must confirm it.")
        await expect(sheet.get_by_role("button", name="Confirm")).to_be_disabled()

        await second.sign_in(ben)
        await expect(await row(second.page, topup_id, "#unresolved")).to_contain_text(
            "ana: succeeded"
        )
        await (await row(second.page, topup_id, "#unresolved")).click()
        await expect(second.page.locator("#sheet")).to_contain_text("letter.txt")
        await second.page.get_by_role("button", name="Confirm").click()
        await second.page.get_by_role("button", name="Yes, it succeeded").click()
        sheet = second.page.locator("#sheet")
        await expect(sheet.locator(".lead .chip")).to_have_text("succeeded")
        await expect(sheet).to_contain_text("confirmed by ben")
    assert (await stack.status_of(topup_id))["status"] == "succeeded"


async def test_a_topup_is_found_by_what_somebody_has_in_hand(stack: Stack, desk: Opened) -> None:
    """By id, phone and reference, from the keyboard alone; what nobody has is told so."""
    reference = "order-<b>page</b>"
    _, body = await stack.post(phone="5566374111", key=reference)
    await stack.until_settled(1)
    async with desk(stack.url) as one:
        await one.sign_in(stack.env["TOPUP_ADMIN_KEY"])
        await one.is_live()
        page, sheet = one.page, one.page.locator("#sheet")
        for text in (body["topup_id"], reference, "5566374111"):

            async def found(text: str = text) -> bool:
                await page.locator("#who").click()  # away from any field
                await page.keyboard.press("/")
                await page.keyboard.type(text)
                await page.keyboard.press("Enter")
                await expect(sheet).not_to_contain_text("One fits")
                await sheet.locator(".loading").wait_for(state="detached")
                seen = body["topup_id"] in await sheet.inner_text()
                await page.keyboard.press("Escape")
                return seen

            await until(found)
        await page.keyboard.press("/")
        await page.keyboard.type("nobody-has-this")
        await page.keyboard.press("Enter")
        await expect(sheet).to_contain_text("None fits")


async def test_a_statement_is_compared_with_the_books(stack: Stack, desk: Opened) -> None:
    """What the provider says it sold, and we know nothing of, is shown; a wrong file says why."""
    head = "distTransid,transId,targetMSISDN,amount,currency,time,status"
    day = dt.datetime.now(ZoneInfo("America/Mexico_City"))
    line = f"0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11,T1,5566374683,20,MXN,{day:%FT%T},Success"
    async with desk(stack.url) as one:
        await one.sign_in(stack.env["TOPUP_ADMIN_KEY"])
        await one.is_live()
        form = one.page.locator("#statement-form")
        await form.get_by_label("Day").fill(f"{day:%Y-%m-%d}")
        for text, place, told in (
            ("a,b", "#statement-problem", "amount"),
            (f"{head}\n{line}\n", "#statement-body", "theirs missing here"),
        ):
            await form.get_by_label("File").set_input_files(
                {"name": "they sent.csv", "mimeType": "text/csv", "buffer": text.encode()}
            )
            await form.get_by_role("button", name="Compare").click()
            await expect(one.page.locator(place)).to_contain_text(told)
        await expect(one.page.locator("#statement-problem")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_can_be_looked_at(stack: Stack, desk: Opened, shots: Path, scheme: str) -> None:
    """Wide and on a phone, light and dark: nothing sticks out sideways, and pictures are kept."""
    topup_id = await into_limbo(stack)
    async with desk(stack.url, color_scheme=scheme) as one:
        await one.page.goto(f"{one.url}/admin")
        await expect(one.page.get_by_label("Operator key")).to_be_focused()
        await one.page.screenshot(path=shots / f"{scheme}-gate.png")
        await one.sign_in(stack.env["TOPUP_ADMIN_KEY"])
        await one.is_live()
        await _sell_for_a_while(stack, one)
        for name, size in (("wide", one.page.viewport_size), ("phone", PHONE)):
            assert size is not None
            await one.page.set_viewport_size(size)
            await one.page.wait_for_timeout(1_200)  # until the charts have taken their new size
            await one.page.screenshot(path=shots / f"{scheme}-{name}.png", full_page=True)
            width = await one.page.evaluate("document.documentElement.scrollWidth")
            assert width <= size["width"], f"{name} is {width} wide"
            await one.page.evaluate(f"location.hash = 'topup/{topup_id}'")
            await expect(one.page.locator("#sheet .timeline")).to_be_visible()
            await one.page.screenshot(path=shots / f"{scheme}-{name}-story.png")
            await one.page.keyboard.press("Escape")
            await one.page.get_by_role("button", name="Hold LATCOM").click()
            await one.page.screenshot(path=shots / f"{scheme}-{name}-hold.png")
            await one.page.keyboard.press("Escape")


async def _sell_for_a_while(stack: Stack, one: Desk) -> None:
    """Let there be something to see, in the charts too."""
    await stack.get("/health")
    async with stack.session.post(
        f"{stack.url}/api/admin/lanes/DTONE/hold",
        json={"reason": "their maintenance until four", "until": "2h", "replace": True},
        headers={"x-admin-key": stack.env["TOPUP_ADMIN_KEY"]},
    ) as held:
        assert held.status == 200
    for _ in range(12):
        phones = [f"55663741{number:02}" for number in range(20)]
        await asyncio.gather(*(stack.post(phone=phone) for phone in phones))
        await stack.post(phone="5566374901")
        await stack.post(phone="5566374683", provider="RELOADLY", amount=50)
        await one.page.wait_for_timeout(700)
