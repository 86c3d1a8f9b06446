"""A merchant's HTTP request as the routes need it, taken from ASGI without a framework."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec
from starlette.types import Receive, Scope

_WANTED: Final = frozenset(
    {
        b"accept",
        b"content-length",
        b"content-type",
        b"idempotency-key",
        b"prefer",
        b"transfer-encoding",
        b"x-api-key",
        b"x-customer-id",
        b"x-request-id",
    }
)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:+/=-]{1,128}")
_TOPUP_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class MerchantRoute(msgspec.Struct, frozen=True):
    """A call that merchants may make; the path has `{merchant}` and perhaps `{topup_id}`."""

    name: str
    method: str  # the only one that the path takes
    path: str


ACCEPT: Final = MerchantRoute("accept", "POST", "/api/{merchant}/topup")
ROUTES: Final = (
    ACCEPT,
    MerchantRoute("show", "GET", "/api/{merchant}/topups/{topup_id}"),
    MerchantRoute("list", "GET", "/api/{merchant}/topups"),
    MerchantRoute("file", "GET", "/api/{merchant}/topups.csv"),
)
_LENGTH_WITH_ID: Final = 5  # the path begins with a slash, so its first part is empty
_LENGTHS: Final = (_LENGTH_WITH_ID - 1, _LENGTH_WITH_ID)
_BY_SHAPE: Final = {
    (len(parts), parts[3]): route for route in ROUTES for parts in [route.path.split("/")]
}
assert len(_BY_SHAPE) == len(ROUTES), "length and third part tell the routes apart"


class Asked(msgspec.Struct, kw_only=True):
    """One request to a route of merchants."""

    route: MerchantRoute
    merchant: str
    topup_id: str
    query: bytes
    headers: dict[str, str]
    receive: Receive

    @property
    def request_id(self) -> str | None:
        """What the caller calls this request, if that may stand in a log."""
        given = self.headers.get("x-request-id", "")
        return given if _REQUEST_ID.fullmatch(given) else None


def ask(scope: Scope, receive: Receive) -> Asked | None:
    """Return the request if its path is one of ours; the method is not looked at."""
    parts = scope["path"].split("/")
    if len(parts) not in _LENGTHS or parts[1] != "api":
        return None
    route = _BY_SHAPE.get((len(parts), parts[3]))
    topup_id = parts[4] if len(parts) == _LENGTH_WITH_ID else None
    if route is None or (topup_id is not None and not _TOPUP_ID.fullmatch(topup_id)):
        return None
    return Asked(
        route=route,
        merchant=parts[2],
        topup_id=topup_id or "",
        query=scope["query_string"],
        headers=_headers(scope["headers"]),
        receive=receive,
    )


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Keep what we read; a header sent twice is one list, as HTTP says, and seldom valid."""
    headers: dict[str, str] = {}
    for name, value in raw:
        if name in _WANTED:
            key, text = name.decode("ascii"), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
