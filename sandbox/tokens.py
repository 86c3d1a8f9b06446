"""Bearer tokens that are given for a while."""

import hmac
import secrets
from collections.abc import Callable, Iterable


class Tokens:
    """The tokens given out; a restart or `revoke` ends them all."""

    def __init__(self, *, life_s: float, now: Callable[[], float]) -> None:
        self.life_s = life_s
        self._now = now
        self._ends: dict[str, float] = {}
        self.logins = 0

    def login(self, pairs: Iterable[tuple[str | None, str]]) -> str | None:
        """Return a new token, or None where a credential differs from the one that is wanted."""
        if not all_same(pairs):
            return None
        self.logins += 1
        now = self._now()
        self._ends = {token: ends for token, ends in self._ends.items() if ends > now}
        token = secrets.token_urlsafe(24)
        self._ends[token] = now + self.life_s
        return token

    def is_good(self, authorization: str) -> bool:
        """Tell whether the header brings a token that still lives."""
        scheme, _, token = authorization.partition(" ")
        return scheme == "Bearer" and self._ends.get(token, 0.0) > self._now()

    def revoke(self) -> None:
        """End all tokens at once."""
        self._ends.clear()


def all_same(pairs: Iterable[tuple[str | None, str]]) -> bool:
    """Tell whether what is given is what is wanted; None: anything is."""
    return all(want is None or _same(want, given) for want, given in pairs)


def _same(want: str, given: str) -> bool:
    return hmac.compare_digest(want.encode(), given.encode())
