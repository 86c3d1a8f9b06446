"""A key becomes a cookie, and the cookie goes away again."""

from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.admin.acts import read_act
from services.gateway.admin.operators import Operators
from services.gateway.answers import ServedBehind
from services.gateway.page.calls import (
    NO_STORE,
    SESSION,
    SIGN_IN,
    SIGN_OUT,
    SignedIn,
    SignedOut,
    SignIn,
)
from services.gateway.refusals import NotFound, Unauthorized
from services.gateway.rest import json_response
from services.gateway.sessions import Session, Sessions, check_origin
from shared.contracts.instants import timestamp
from shared.contracts.keys import hash_of

_EXAMPLE: Final = '{"key": "operator_…"}'

log = structlog.get_logger()


class SigningIn:
    """Signs operators in and out; where there are no sessions, nothing is here."""

    def __init__(self, operators: Operators, *, alone: bool) -> None:
        self._operators = operators
        self._alone = alone

    def served(self) -> list[ServedBehind]:
        """Return the calls that are answered here."""
        return [
            ServedBehind(SIGN_IN, self._sign_in),
            ServedBehind(SIGN_OUT, self._sign_out),
            ServedBehind(SESSION, self._session),
        ]

    async def _sign_in(self, request: Request) -> Response:
        sessions = here(self._operators)
        check_origin(request)
        asked = await read_act(request, SignIn, example=_EXAMPLE)
        try:
            who = self._operators.known(asked.key)
        except Unauthorized:
            log.warning("sign_in_refused")
            raise Unauthorized("That is the key of no operator") from None
        session = sessions.begin(who, hash_of(asked.key))
        log.info("signed_in", who=who)
        told = self._told(sessions, session)
        sessions.give(session, request, told)
        return told

    async def _sign_out(self, request: Request) -> Response:
        sessions = here(self._operators)
        check_origin(request)
        told = json_response(200, SignedOut())
        told.headers.update(NO_STORE)
        sessions.end(told)
        return told

    async def _session(self, request: Request) -> Response:
        sessions = here(self._operators)
        return self._told(sessions, self._operators.session(sessions, request))

    def _told(self, sessions: Sessions, session: Session) -> Response:
        told = json_response(
            200,
            SignedIn(
                who=session.who,
                ends_at=timestamp(session.ends_ms),
                csrf=sessions.csrf(session),
                resolve_alone=self._alone,
            ),
        )
        told.headers.update(NO_STORE)
        return told


def here(operators: Operators) -> Sessions:
    """Return the sessions; raises NotFound where there is no page."""
    if operators.sessions is None or operators.are_off:
        raise NotFound("There is no operators' page here: it needs SESSION_KEY, and an operator")
    return operators.sessions
