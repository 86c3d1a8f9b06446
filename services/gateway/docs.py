"""The description of the API as `/openapi.json`, and as a page to read and to try it on.

The page is Swagger UI as the package `offapi` ships it. Its own templates put everything into one
page, and its import reads three such pages, so only its files are taken.
"""

from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.answers import ServedBehind
from services.gateway.calls import Answer, Call, Field
from services.gateway.openapi import describe
from shared.runtime.instance import product_version

_HTML: Final = "text/html; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_STYLE: Final = "text/css; charset=utf-8"
_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>topup: the API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<noscript>This page needs JavaScript; <a href="openapi.json">openapi.json</a> does not.</noscript>
<script src="docs/swagger-ui.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START: Final = b"""SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  validatorUrl: "none",
});
"""
_SHIPPED: Final = {
    "swagger-ui.css": ("swagger_style.css", _STYLE),
    "swagger-ui.js": ("swagger_bundle.js", _SCRIPT),
}
_FILES: Final = (*_SHIPPED, "start.js")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_IF_NONE_MATCH: Final = Field(name="If-None-Match", about="The ETag of the copy that you have.")
_HEADERS: Final = (
    Field(name="ETag", about="Names these bytes.", required=True),
    *(
        Field(name=name.title(), about="Always so.", schema={"const": value}, required=True)
        for name, value in _ALWAYS.items()
    ),
)


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that never change while we run, and their name."""

    body: bytes
    media: str
    etag: str


def docs_calls(calls: Sequence[Call]) -> list[ServedBehind]:
    """Return the calls that show the description of `calls`, and of themselves."""
    document = describe([*calls, OPENAPI, DOCS, ASSET], version=product_version())
    described = _page(msgspec.json.encode(document), "application/json")
    page = _page(_PAGE, _HTML)
    files = {name: _page(_shipped(file), media) for name, (file, media) in _SHIPPED.items()}
    files["start.js"] = _page(_START, _SCRIPT)

    async def show_document(request: Request) -> Response:
        return _respond(request, described)

    async def show_page(request: Request) -> Response:
        return _respond(request, page)

    async def show_file(request: Request) -> Response:
        file = files.get(request.path_params["file"])
        if file is None:
            raise HTTPException(404)
        return _respond(request, file)

    return [
        ServedBehind(OPENAPI, show_document),
        ServedBehind(DOCS, show_page),
        ServedBehind(ASSET, show_file),
    ]


def _page(body: bytes, media: str) -> Page:
    return Page(body=body, media=media, etag=f'"{sha256(body).hexdigest()[:32]}"')


def _shipped(name: str) -> bytes:
    spec = find_spec("offapi")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name(name).read_bytes()


def _respond(request: Request, page: Page) -> Response:
    headers = {**_ALWAYS, "etag": page.etag}
    known = request.headers.get("if-none-match", "")
    if known == "*" or page.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(page.body, headers={**headers, "content-type": page.media})


def _shown(answer: Answer) -> dict[int, Answer]:
    return {200: answer, 304: Answer(about="You have it", headers=_HEADERS)}


OPENAPI: Final = Call(
    name="openapi",
    method="GET",
    path="/openapi.json",
    tag="Documentation",
    about="This document",
    headers=(_IF_NONE_MATCH,),
    answers=_shown(Answer(about="OpenAPI 3.1", body={"type": "object"}, headers=_HEADERS)),
)
DOCS: Final = Call(
    name="docs",
    method="GET",
    path="/docs",
    tag="Documentation",
    about="This document as a page, to read and to try",
    headers=(_IF_NONE_MATCH,),
    answers=_shown(
        Answer(about="The page", body={"type": "string"}, media=_HTML, headers=_HEADERS)
    ),
)
ASSET: Final = Call(
    name="asset",
    method="GET",
    path="/docs/{file}",
    tag="Documentation",
    about="What the page is made of",
    places=(
        Field(
            name="file",
            about="One of these files.",
            schema={"type": "string", "enum": _FILES},
            example="start.js",
            required=True,
        ),
    ),
    headers=(_IF_NONE_MATCH,),
    answers=_shown(
        Answer(about="A file", body={"type": "string"}, media="text/*", headers=_HEADERS)
    ),
    refusals=("not_found",),
)
