"""One bearer token for all calls of an instance: renewed ahead of its end, one login at a time."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from services.dispatcher.providers.adapter import NotSent, Refused

RECENT: Final = 3
"""Calls under way may still carry so many tokens, none of which may show in evidence."""
LoggedIn = str | NotSent | Refused
AHEAD: Final = 0.75
"""From this part of its life on, a token is renewed while it still serves."""


class SharedToken:
    """Logs in when it must, and lets everyone wait for the same login."""

    def __init__(
        self,
        log_in: Callable[[], Awaitable[LoggedIn]],
        *,
        life_ms: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._log_in = log_in
        self._life_s = life_ms / 1_000
        self._monotonic = monotonic
        self._token: str | None = None
        self._born = 0.0
        self._login: asyncio.Task[LoggedIn] | None = None
        self.recent: deque[str] = deque(maxlen=RECENT)

    async def get(self) -> LoggedIn:
        """Return a token that should still be good, or why there is none."""
        age = self._monotonic() - self._born
        if self._token is None or age >= self._life_s:
            # Shielded: one who gives up waiting must not end the login of all the others.
            return await asyncio.shield(self._renewal())
        token = self._token
        if age >= self._life_s * AHEAD:
            _ = self._renewal()  # for those who come later
        return token

    def spoil(self, token: str) -> None:
        """Forget a token that the provider took no longer, unless it is another by now."""
        if self._token == token:
            self._token = None

    async def close(self) -> None:
        """End a login that is under way."""
        if self._login is not None and not self._login.done():
            self._login.cancel()
            await asyncio.gather(self._login, return_exceptions=True)

    def _renewal(self) -> asyncio.Task[LoggedIn]:
        if self._login is None or self._login.done():
            self._login = asyncio.create_task(self._renew())
        return self._login

    async def _renew(self) -> LoggedIn:
        asked = self._monotonic()  # its life may have begun as early as this
        found = await self._log_in()
        if isinstance(found, str):
            self._token, self._born = found, asked
            self.recent.append(found)
        return found
