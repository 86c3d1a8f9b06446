"""A real Chromium before the page of a whole stack, or of one gateway; pictures are kept."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.integration.gateway.conftest import bench, gateway, home
from tests.system.conftest import stack, street

__all__ = ["bench", "gateway", "home", "stack", "street"]  # fixtures

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium is here: install it, for example 'apt-get install chromium', or set CHROMIUM"
WIDE = {"width": 1440, "height": 1000}
PHONE = {"width": 390, "height": 844}

expect.set_options(timeout=15_000)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Chromium is."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert found is not None, MISSING
    return found


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where pictures are kept: SHOTS, or the run's own folder."""
    folder = Path(os.environ.get("SHOTS") or tmp_path_factory.getbasetemp() / "shots")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    print(f"\npictures: {folder}")  # noqa: T201 - whoever runs it wants to look


@pytest.fixture
async def chromium(chromium_path: str) -> AsyncIterator[Browser]:
    """A browser of its own for each test."""
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=chromium_path, args=arguments)
        yield browser
        await browser.close()


class Desk:
    """One operator's window: what he does there, and what the browser complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.on("pageerror", lambda problem: self.complaints.append(str(problem)))
        page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        expected = ("Failed to load resource", "net::ERR_")  # what it was told, or nobody answers
        if message.type == "error" and not message.text.startswith(expected):
            self.complaints.append(message.text)

    async def sign_in(self, key: str) -> None:
        """Go to the page, and in."""
        await self.page.goto(f"{self.url}/admin")
        await self.give(key)

    async def give(self, key: str) -> None:
        """Type the key where it is asked for."""
        await self.page.get_by_label("Operator key").fill(key)
        await self.page.get_by_role("button", name="Sign in").click()

    async def is_live(self) -> None:
        """Wait until the live picture comes."""
        await expect(self.page.locator("#live")).to_have_text("live")


@pytest.fixture
async def desk(chromium: Browser) -> AsyncIterator[Callable[..., Any]]:
    """Open windows; at the end none may have complained: of a script, or of our policy."""
    desks: list[Desk] = []

    @asynccontextmanager
    async def opened(url: str, **how: Any) -> AsyncIterator[Desk]:
        context = await chromium.new_context(viewport=how.pop("viewport", WIDE), **how)
        desks.append(Desk(await context.new_page(), url))
        yield desks[-1]
        await context.close()

    yield opened
    assert [one.complaints for one in desks] == [[]] * len(desks)
