"""What a browser does with the operators' page, without one: it keeps and says the cookie."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import Any

import aiohttp

from tests.integration.gateway.house import ADMIN_KEY, Answer, House


class Browser:
    """One who is signed in, or not yet."""

    def __init__(self, home: House, gateway: str) -> None:
        self._home = home
        self.gateway = gateway
        self.cookie = ""
        self.csrf = ""

    async def sign_in(self, key: str = ADMIN_KEY, **headers: str) -> Answer:
        """Send the key as our own page does; keep what comes of it."""
        said = {"origin": self.gateway, **headers}
        url = f"{self.gateway}/api/admin/sign-in"
        answer = await self._home.ask("POST", url, json={"key": key}, headers=said)
        if answer.status == 200:
            ((name, morsel),) = SimpleCookie(answer.headers["set-cookie"]).items()
            self.cookie, self.csrf = f"{name}={morsel.value}", answer.json["csrf"]
        return answer

    async def look(self, path: str, **headers: str) -> Answer:
        """Ask for something of the admin API."""
        said = {"cookie": self.cookie, **headers}
        return await self._home.ask("GET", f"{self.gateway}/api/admin/{path}", headers=said)

    async def act(self, path: str, body: Any, **headers: str) -> Answer:
        """Do something, as our own page does."""
        said = {"cookie": self.cookie, "x-csrf-token": self.csrf, "origin": self.gateway}
        url = f"{self.gateway}/api/admin/{path}"
        return await self._home.ask("POST", url, json=body, headers=said | headers)

    @asynccontextmanager
    async def watching(self, **headers: str) -> AsyncIterator["Watching"]:
        """Watch the live picture for as long as the block lasts."""
        said = {"cookie": self.cookie, **headers}
        url = f"{self.gateway}/api/admin/events"
        async with self._home.session.get(url, headers=said) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            yield Watching(response)


class Watching:
    """A stream of events, read as the standard says: a name, data, and an empty line."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._lines = response.content

    async def event(self) -> tuple[str, Any]:
        """Return the next event; at the end an empty one."""
        name = await self._lines.readline()
        if not name:
            return "", None
        data, gap = await self._lines.readline(), await self._lines.readline()
        assert name.startswith(b"event: ")
        assert data.startswith(b"data: ")
        assert gap == b"\n"
        return name[len("event: ") :].strip().decode(), json.loads(data[len("data: ") :])

    async def frame(self) -> dict[str, Any]:
        """Return the next frame."""
        while True:
            name, what = await self.event()
            assert name, "the stream ended"
            if name == "frame":
                found: dict[str, Any] = what
                return found
