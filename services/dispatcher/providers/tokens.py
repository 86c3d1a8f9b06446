"""One bearer token for all calls of an instance: renewed ahead of its end, one login at a time."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from services.dispatcher.providers.adapter import NotSent, Refused

RECENT: Final = 3
"""Calls under way may still carry so many tokens, none of which may show in evidence."""
AHEAD: Final = 0.75
"""From this part of its life on, a token is renewed while it still serves."""


class Grant(msgspec.Struct, frozen=True):
    """A token, and how long it lives if the provider says so."""

    token: str
    life_ms: int | None = None

    def __repr__(self) -> str:
        """Keep the token out of whatever prints this."""
        return "Grant(…)"


class SharedToken:
    """Logs in when it must, and lets everyone wait for the same login."""

    def __init__(
        self,
        log_in: Callable[[], Awaitable[Grant | NotSent | Refused]],
        *,
        life_ms: int,  # at most, and where the provider says nothing
        monotonic: Callable[[], float],
    ) -> None:
        self._log_in = log_in
        self._life_ms = life_ms
        self._life_s = life_ms / 1_000
        self._monotonic = monotonic
        self._token: str | None = None
        self._born = 0.0
        self._login: asyncio.Task[str | NotSent | Refused] | None = None
        self.recent: deque[str] = deque(maxlen=RECENT)

    async def get(self) -> str | NotSent | Refused:
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

    def _renewal(self) -> asyncio.Task[str | NotSent | Refused]:
        if self._login is None or self._login.done():
            self._login = asyncio.create_task(self._renew())
        return self._login

    async def _renew(self) -> str | NotSent | Refused:
        asked = self._monotonic()  # its life may have begun as early as this
        found = await self._log_in()
        if not isinstance(found, Grant):
            return found
        self._token, self._born = found.token, asked
        self._life_s = min(found.life_ms or self._life_ms, self._life_ms) / 1_000
        self.recent.append(found.token)
        return found.token
