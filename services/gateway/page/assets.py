"""The page's files: ours, and Chart.js as the package `chartkick` ships it.

Only that package's file is taken: its templates would stand inline, which our policy forbids.
"""

import asyncio
import gzip
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.admin.operators import Operators
from services.gateway.answers import ServedBehind
from services.gateway.page.calls import PAGE, PAGE_FILE, POLICY
from services.gateway.page.signing_in import here
from services.gateway.pages import HTML, SCRIPT, STYLE, File, file_of, respond

_MEDIA: Final = {".js": SCRIPT, ".css": STYLE, ".svg": "image/svg+xml"}
_START: Final = "page.html"
_CHARTS: Final = "chart.js"
_SHIPPED: Final = "django/static/chartkick/Chart.bundle.js"


class Assets:
    """Serves the page's files to anybody: nothing is in them but how it looks."""

    def __init__(self, operators: Operators) -> None:
        self._operators = operators
        self._page = file_of(_ours()[_START], HTML)
        self._files = {
            name: file_of(body, _MEDIA[Path(name).suffix])
            for name, body in _ours().items()
            if name != _START
        }

    def served(self) -> list[ServedBehind]:
        """Return the calls that are answered here."""
        return [ServedBehind(PAGE, self._show_page), ServedBehind(PAGE_FILE, self._show_file)]

    async def _show_page(self, request: Request) -> Response:
        here(self._operators)
        return respond(request, self._page, POLICY)

    async def _show_file(self, request: Request) -> Response:
        here(self._operators)
        name = request.path_params["file"]
        if name == _CHARTS:
            packed = "gzip" in request.headers.get("accept-encoding", "")
            return respond(request, await asyncio.to_thread(_charts, packed=packed), POLICY)
        if name not in self._files:
            raise HTTPException(404)
        return respond(request, self._files[name], POLICY)


@cache
def _ours() -> dict[str, bytes]:
    folder = files("services.gateway.page") / "files"
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@cache
def _charts(*, packed: bool) -> File:
    """Return the library, which is a megabyte until it is packed; read when it is first asked."""
    spec = find_spec("chartkick")
    assert spec is not None
    assert spec.origin is not None
    body = (Path(spec.origin).parent / _SHIPPED).read_bytes()
    if not packed:
        return file_of(body, SCRIPT)
    return file_of(gzip.compress(body, mtime=0), SCRIPT, encoding="gzip")
