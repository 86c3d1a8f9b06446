"""Everything that is not hot: health, documentation, the admin API; on Starlette, our errors."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.admin.calls import HEALTH
from services.gateway.answers import ServedBehind
from services.gateway.refusals import MethodNotAllowed, NotFound, Refusal
from shared.contracts.errors import InvalidRequest
from shared.web.health import Health, health_response
from shared.web.problems import render


def rest_app(served: Sequence[ServedBehind]) -> Starlette:
    """Return the app behind the door."""
    app = Starlette(
        routes=[Route(one.call.path, one.answer, methods=[one.call.method]) for one in served],
        exception_handlers={
            Refusal: _refused,
            InvalidRequest: _refused,
            HTTPException: _no_such_route,
            Exception: _broke,
        },
    )
    app.router.redirect_slashes = False  # another path is 404, in our form, and no other address
    return app


def health_call(health: Health) -> ServedBehind:
    """Return the call that shows the instance's health."""

    async def show_health(_request: Request) -> Response:
        return await health_response(health)

    return ServedBehind(HEALTH, show_health)


def json_response(status: int, body: Any) -> Response:  # noqa: ANN401 - any JSON
    """Answer JSON."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal | InvalidRequest), "registered for these"
    refusal = error if isinstance(error, Refusal) else Refusal("")
    accept = request.headers.get("accept", "")
    status, headers, body = render(error.code, str(error), accept=accept, members=refusal.members)
    response = Response(body, status)
    response.raw_headers.extend(headers)
    response.headers.update(refusal.headers)
    return response


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:  # noqa: PLR2004 - HTTP
        allowed = (error.headers or {}).get("Allow", "GET")
        refusal: Refusal = MethodNotAllowed(
            f"This path takes {allowed} only", headers={"allow": allowed}
        )
    else:
        refusal = NotFound("There is nothing at this path; /docs tells what there is")
    return await _refused(request, refusal)


async def _broke(request: Request, _error: Exception) -> Response:
    accept = request.headers.get("accept", "")
    status, headers, body = render("internal", "Our mistake; ask again", accept=accept)
    response = Response(body, status)
    response.raw_headers.extend(headers)
    return response
