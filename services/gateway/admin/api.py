"""The admin API: what waits, what runs, what was earned, and who did what."""

from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.admin.acts import from_books
from services.gateway.admin.calls import AUDIT, METRICS, QUEUE_STATS, AuditShown
from services.gateway.admin.figures import Figures
from services.gateway.admin.operators import Operators
from services.gateway.admin.requests import read_query
from services.gateway.answers import ServedBehind
from services.gateway.peers import Ledger
from services.gateway.refusals import Unavailable
from services.gateway.rest import json_response
from shared.contracts.peers import AuditQuery


class Admin:
    """Shows figures and acts to operators."""

    def __init__(self, figures: Figures, ledger: Ledger, operators: Operators) -> None:
        self._figures = figures
        self._ledger = ledger
        self._operators = operators

    def served(self) -> list[ServedBehind]:
        """Return the calls that are answered here."""
        return [
            ServedBehind(QUEUE_STATS, self._queue_stats),
            ServedBehind(METRICS, self._metrics),
            ServedBehind(AUDIT, self._audit),
        ]

    async def _queue_stats(self, request: Request) -> Response:
        self._operators.admit(request)
        try:
            return json_response(200, await self._figures.queue_stats())
        except (RedisError, OSError) as error:
            raise Unavailable("The queue cannot be asked right now; ask again") from error

    async def _metrics(self, request: Request) -> Response:
        self._operators.admit(request)
        return json_response(200, await from_books(self._figures.totals()))

    async def _audit(self, request: Request) -> Response:
        self._operators.admit(request)
        query = read_query(request, AuditQuery, example="?limit=50&target=LATCOM")
        page = await from_books(self._ledger.audit(query))
        return json_response(200, AuditShown(acts=page.rows, next=page.next))
