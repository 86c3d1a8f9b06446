"""The description of the API as `/openapi.json`, and as a page to read and to try it on.

The page is Swagger UI as the package `offapi` ships it. Its own templates put everything into one
page, and its import reads three such pages, so only its files are taken.
"""

from collections.abc import Sequence
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
from services.gateway.pages import (
    HTML,
    IF_NONE_MATCH,
    SCRIPT,
    STYLE,
    described,
    file_of,
    respond,
    shown,
)
from shared.runtime.instance import product_version

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
    "swagger-ui.css": ("swagger_style.css", STYLE),
    "swagger-ui.js": ("swagger_bundle.js", SCRIPT),
}
_FILES: Final = (*_SHIPPED, "start.js")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS: Final = {"content-security-policy": _POLICY, "referrer-policy": "no-referrer"}
_HEADERS: Final = described(_ALWAYS)


def docs_calls(calls: Sequence[Call]) -> list[ServedBehind]:
    """Return the calls that show the description of `calls`, and of themselves."""
    told = describe([*calls, OPENAPI, DOCS, ASSET], version=product_version())
    document = file_of(msgspec.json.encode(told), "application/json")
    page = file_of(_PAGE, HTML)
    files = {name: file_of(_shipped(file), media) for name, (file, media) in _SHIPPED.items()}
    files["start.js"] = file_of(_START, SCRIPT)

    async def show_document(request: Request) -> Response:
        return respond(request, document, _ALWAYS)

    async def show_page(request: Request) -> Response:
        return respond(request, page, _ALWAYS)

    async def show_file(request: Request) -> Response:
        file = files.get(request.path_params["file"])
        if file is None:
            raise HTTPException(404)
        return respond(request, file, _ALWAYS)

    return [
        ServedBehind(OPENAPI, show_document),
        ServedBehind(DOCS, show_page),
        ServedBehind(ASSET, show_file),
    ]


def _shipped(name: str) -> bytes:
    spec = find_spec("offapi")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name(name).read_bytes()


OPENAPI: Final = Call(
    name="openapi",
    method="GET",
    path="/openapi.json",
    tag="Documentation",
    about="This document",
    headers=(IF_NONE_MATCH,),
    answers=shown(Answer(about="OpenAPI 3.1", body={"type": "object"}, headers=_HEADERS)),
)
DOCS: Final = Call(
    name="docs",
    method="GET",
    path="/docs",
    tag="Documentation",
    about="This document as a page, to read and to try",
    headers=(IF_NONE_MATCH,),
    answers=shown(Answer(about="The page", body={"type": "string"}, media=HTML, headers=_HEADERS)),
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
    headers=(IF_NONE_MATCH,),
    answers=shown(
        Answer(about="A file", body={"type": "string"}, media="text/*", headers=_HEADERS)
    ),
    refusals=("not_found",),
)
