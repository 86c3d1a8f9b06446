"""Which person asks: the admin API's key is one person's, or ADMIN_KEY."""

from hmac import compare_digest
from typing import Final

from starlette.requests import Request

from services.gateway.keys import Keyring
from services.gateway.refusals import Forbidden, Unauthorized, Unavailable

ADMIN: Final = "admin"
"""Who holds ADMIN_KEY, as the audit has it."""


class Operators:
    """Lets operators in, by the keys that the keyring holds."""

    def __init__(self, keyring: Keyring, *, admin_key: str | None) -> None:
        self._keyring = keyring
        self._admin_key = admin_key

    def admit(self, request: Request) -> str:
        """Return who asks.

        Raises:
            Forbidden: there is neither an ADMIN_KEY nor an operator.
            Unauthorized: no key, or one that does not work.
            Unavailable: it would be an operator's, and those held here are too old.
        """
        if self._admin_key is None and not self._keyring.has_operators:
            raise Forbidden("The admin API is off: there is no operator, and ADMIN_KEY is not set")
        given = request.headers.get("x-admin-key", "")
        if self._admin_key is not None and compare_digest(given.encode(), self._admin_key.encode()):
            return ADMIN
        name = self._keyring.operator(given)
        if name is None:
            raise Unauthorized("The header x-admin-key must hold the key of an operator")
        if self._keyring.is_stale:
            raise Unavailable("Keys cannot be checked right now; ask again")
        return name
