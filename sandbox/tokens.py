"""Logins, and the bearer tokens that they give for a while."""

import hmac
import secrets
from collections.abc import Callable

from sandbox.settings import Access
from sandbox.wire import Login


class Tokens:
    """The tokens given out; a restart or `revoke` ends them all."""

    def __init__(self, access: Access, *, life_s: float, now: Callable[[], float]) -> None:
        self._access = access
        self._life_s = life_s
        self._now = now
        self._ends: dict[str, float] = {}
        self.logins = 0

    def login(self, login: Login) -> str | None:
        """Return a new token, or None where the credentials are wrong."""
        wanted = self._access
        pairs = (
            (wanted.username, login.username),
            (wanted.password, login.password),
            (wanted.dist_api, login.dist_api),
            (wanted.user_uid, login.user_uid),
        )
        if not all(want is None or _same(want, given) for want, given in pairs):
            return None
        self.logins += 1
        now = self._now()
        self._ends = {token: ends for token, ends in self._ends.items() if ends > now}
        token = secrets.token_urlsafe(24)
        self._ends[token] = now + self._life_s
        return token

    def is_good(self, authorization: str) -> bool:
        """Tell whether the header brings a token that still lives."""
        scheme, _, token = authorization.partition(" ")
        return scheme == "Bearer" and self._ends.get(token, 0.0) > self._now()

    def revoke(self) -> None:
        """End all tokens at once."""
        self._ends.clear()


def _same(want: str, given: str) -> bool:
    return hmac.compare_digest(want.encode(), given.encode())
