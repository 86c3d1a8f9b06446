"""A merchant's HTTP request as the routes need it, taken from ASGI without a framework."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec
from starlette.types import Receive, Scope

from services.gateway.calls import Call

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
TOPUP_ID_PATTERN: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TOPUP_ID: Final = re.compile(TOPUP_ID_PATTERN)
ADMIN: Final = "admin"
"""No merchant has this name: what is below it is asked with another key."""
_LENGTH_WITH_ID: Final = 5  # the path begins with a slash, so its first part is empty
_LENGTHS: Final = (_LENGTH_WITH_ID - 1, _LENGTH_WITH_ID)


class Asked(msgspec.Struct, kw_only=True):
    """One request to a route of merchants."""

    call: Call
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


class Shapes:
    """Tells merchants' calls apart by the length and the third part of a path."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self._calls: dict[tuple[int, str], Call] = {}
        for call in calls:
            parts = call.path.split("/")
            assert len(parts) in _LENGTHS, f"{call.path} is reached by no other length"
            assert (len(parts), parts[3]) not in self._calls, f"{call.path} looks like another"
            self._calls[len(parts), parts[3]] = call

    def ask(self, scope: Scope, receive: Receive) -> Asked | None:
        """Return the request if its path is one of ours; the method is not looked at."""
        parts = scope["path"].split("/")
        if len(parts) not in _LENGTHS or parts[1] != "api" or parts[2] == ADMIN:
            return None
        call = self._calls.get((len(parts), parts[3]))
        topup_id = parts[4] if len(parts) == _LENGTH_WITH_ID else None
        if call is None or (topup_id is not None and not _TOPUP_ID.fullmatch(topup_id)):
            return None
        return Asked(
            call=call,
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
