"""Everything that is not hot: health and the admin API, on Starlette, with our errors."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.refusals import MethodNotAllowed, NotFound, Refusal
from shared.web.health import Health, health_response
from shared.web.problems import render


def rest_app(health: Health, routes: Sequence[Route]) -> Starlette:
    """Return the app behind the door."""

    async def show_health(_request: Request) -> Response:
        return await health_response(health)

    app = Starlette(
        routes=[Route("/health", show_health), *routes],
        exception_handlers={
            Refusal: _refused,
            HTTPException: _no_such_route,
            Exception: _broke,
        },
    )
    app.router.redirect_slashes = False  # another path is 404, in our form, and no other address
    return app


def json_response(status: int, body: Any) -> Response:  # noqa: ANN401 - any JSON
    """Answer JSON."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    accept = request.headers.get("accept", "")
    status, headers, body = render(error.code, str(error), accept=accept, members=error.members)
    response = Response(body, status)
    response.raw_headers.extend(headers)
    response.headers.update(error.headers)
    return response


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:  # noqa: PLR2004 - HTTP
        allowed = (error.headers or {}).get("Allow", "GET")
        refusal: Refusal = MethodNotAllowed(
            f"This path takes {allowed} only", headers={"allow": allowed}
        )
    else:
        refusal = NotFound("There is nothing at this path")
    return await _refused(request, refusal)


async def _broke(request: Request, _error: Exception) -> Response:
    accept = request.headers.get("accept", "")
    status, headers, body = render("internal", "Our mistake; ask again", accept=accept)
    response = Response(body, status)
    response.raw_headers.extend(headers)
    return response
