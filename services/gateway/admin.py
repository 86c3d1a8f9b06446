"""The admin API: what waits, what runs, what was earned; off unless ADMIN_KEY is set."""

from hmac import compare_digest

from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.admin_calls import METRICS, QUEUE_STATS
from services.gateway.answers import ServedBehind
from services.gateway.figures import Figures
from services.gateway.peers import PeerSilent
from services.gateway.refusals import Forbidden, Unauthorized, Unavailable
from services.gateway.rest import json_response


class Admin:
    """Shows figures to whoever holds the admin's key."""

    def __init__(self, figures: Figures, *, admin_key: str | None) -> None:
        self._figures = figures
        self._admin_key = admin_key

    def served(self) -> list[ServedBehind]:
        """Return the calls that are answered here."""
        return [
            ServedBehind(QUEUE_STATS, self._queue_stats),
            ServedBehind(METRICS, self._metrics),
        ]

    async def _queue_stats(self, request: Request) -> Response:
        self.admit(request)
        try:
            return json_response(200, await self._figures.queue_stats())
        except (RedisError, OSError) as error:
            raise _unavailable("The queue") from error

    async def _metrics(self, request: Request) -> Response:
        self.admit(request)
        try:
            return json_response(200, await self._figures.totals())
        except PeerSilent as error:
            raise _unavailable("The ledger") from error

    def admit(self, request: Request) -> str:
        """Return the name of who asks.

        Raises:
            Forbidden, Unauthorized: nobody may, or not with this key.
        """
        if self._admin_key is None:
            raise Forbidden("The admin API is off: ADMIN_KEY is not set")
        given = request.headers.get("x-admin-key", "")
        if not compare_digest(given.encode(), self._admin_key.encode()):
            raise Unauthorized("The header x-admin-key must hold the admin key")
        return "admin"


def _unavailable(what: str) -> Unavailable:
    return Unavailable(f"{what} cannot be asked right now; ask again")
