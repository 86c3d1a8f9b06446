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
        b"transfer-encoding",
        b"x-api-key",
        b"x-customer-id",
        b"x-request-id",
    }
)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:+/=-]{1,128}")
_TOPUP_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Asked(msgspec.Struct, kw_only=True):
    """One request to a route of merchants."""

    route: str
    method: str  # the only one that the route takes
    merchant: str
    topup_id: str
    headers: dict[str, str]
    receive: Receive

    @property
    def request_id(self) -> str | None:
        """What the caller calls this request, if that may stand in a log."""
        given = self.headers.get("x-request-id", "")
        return given if _REQUEST_ID.fullmatch(given) else None


def ask(scope: Scope, receive: Receive) -> Asked | None:
    """Return the request if its path is one of ours; the method is not looked at."""
    match scope["path"].split("/"):
        case ["", "api", merchant, "topup"]:
            route, method, topup_id = "accept", "POST", ""
        case ["", "api", merchant, "topups", topup_id] if _TOPUP_ID.fullmatch(topup_id):
            route, method = "show", "GET"
        case _:
            return None
    return Asked(
        route=route,
        method=method,
        merchant=merchant,
        topup_id=topup_id,
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
