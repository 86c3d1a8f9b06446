"""Which person asks: the admin API's key is one person's, or ADMIN_KEY; a cookie stands for it."""

from hmac import compare_digest
from typing import Final

from starlette.requests import Request

from services.gateway.keys import Keyring
from services.gateway.refusals import Forbidden, Unauthorized, Unavailable
from services.gateway.sessions import Session, Sessions, is_signed_in
from shared.contracts.keys import hash_of

ADMIN: Final = "admin"
"""Who holds ADMIN_KEY, as the audit has it."""


class Operators:
    """Lets operators in, by the keys that the keyring holds; without `sessions` by no cookie."""

    def __init__(
        self, keyring: Keyring, *, admin_key: str | None, sessions: Sessions | None
    ) -> None:
        self._keyring = keyring
        self._admin_key = admin_key
        self.sessions = sessions

    @property
    def are_off(self) -> bool:
        """Whether nobody can come in at all."""
        return self._admin_key is None and not self._keyring.has_operators

    def admit(self, request: Request) -> str:
        """Return who asks, by the key in the header, or by the cookie where there is none.

        Raises:
            Forbidden: there is neither an ADMIN_KEY nor an operator; another site's page asks.
            Unauthorized: no key, or one that does not work, or a session that has ended.
            Unavailable: it would be an operator's, and those held here are too old.
        """
        given = request.headers.get("x-admin-key")
        if given is None and self.sessions is not None and is_signed_in(request):
            return self.session(self.sessions, request).who
        return self.known(given or "")

    def known(self, key: str) -> str:
        """Return whose key it is; raises as `admit`."""
        self._check_on()
        if self._admin_key is not None and compare_digest(key.encode(), self._admin_key.encode()):
            return ADMIN
        name = self._keyring.operator(key)
        if name is None:
            raise Unauthorized("The header x-admin-key must hold the key of an operator")
        self._check_fresh()
        return name

    def session(self, sessions: Sessions, request: Request) -> Session:
        """Return the session of who asks; raises as `admit`."""
        self._check_on()
        session = sessions.read(request)
        if session.who == ADMIN:
            keys = [] if self._admin_key is None else [hash_of(self._admin_key)]
        else:
            keys = self._keyring.hashes_of(session.who)
            self._check_fresh()
        if not any(sessions.is_for(session, key) for key in keys):
            raise Unauthorized("The key that you signed in with works no longer")
        return session

    def _check_on(self) -> None:
        if self.are_off:
            raise Forbidden("The admin API is off: there is no operator, and ADMIN_KEY is not set")

    def _check_fresh(self) -> None:
        if self._keyring.is_stale:
            raise Unavailable("Keys cannot be checked right now; ask again")
