"""The read API for gateways: keys, one topup, totals; private to the cluster's network."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import psycopg
import structlog
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.ledger import metrics
from services.ledger.customers import Customers
from services.ledger.database import said
from services.ledger.store import Past
from shared.contracts.peers import KEYS_PATH, TOPUP_PATH, TOTALS_PATH
from shared.web.problems import render

log = structlog.get_logger()

_TOPUP_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CODES: Final = {404: "not_found", 405: "method_not_allowed"}

Answer = Callable[[Request], Awaitable[Response]]


def query_app(past: Past, customers: Customers) -> Starlette:
    """Return the app of the ledger's port."""

    async def keys(_request: Request) -> Response:
        return _json(await customers.keys())

    async def totals(_request: Request) -> Response:
        return _json(await past.totals())

    async def topup(request: Request) -> Response:
        topup_id = request.path_params["topup_id"]
        customer_id = request.query_params.get("customer_id")
        if not customer_id:
            return _problem("invalid_request", "customer_id is missing: ?customer_id=…")
        row = None
        if _TOPUP_ID.fullmatch(topup_id) and "\x00" not in customer_id:
            row = await past.topup(topup_id, customer_id=customer_id)
        return _problem("not_found", "There is no such topup") if row is None else _json(row)

    return Starlette(
        routes=[
            Route(path, _timed(path, answer), methods=["GET"])
            for path, answer in (
                (KEYS_PATH, keys),
                (TOTALS_PATH, totals),
                (TOPUP_PATH, topup),
            )
        ],
        exception_handlers={
            psycopg.Error: _unavailable,
            RedisError: _unavailable,
            OSError: _unavailable,
            HTTPException: _refused,
        },
    )


def _timed(path: str, answer: Answer) -> Answer:
    seconds = metrics.QUERY_SECONDS.labels(path)

    async def timed(request: Request) -> Response:
        with seconds.time():
            return await answer(request)

    return timed


async def _unavailable(request: Request, problem: Exception) -> Response:
    log.warning("question_unanswered", path=request.url.path, problem=said(problem))
    return _problem("unavailable", "The books cannot be reached; ask again")


async def _refused(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException), "registered for it"
    return _problem(_CODES.get(problem.status_code, "invalid_request"), str(problem.detail))


def _problem(code: str, text: str) -> Response:
    status, headers, body = render(code, text)
    return Response(
        body, status, headers={name.decode(): value.decode() for name, value in headers}
    )


def _json(body: Any) -> Response:  # noqa: ANN401 - any struct
    return Response(msgspec.json.encode(body), media_type="application/json")
