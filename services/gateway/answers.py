"""How a call is served: with an answer at once, or with a download piece by piece."""

from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.calls import Call
from services.gateway.requests import Asked


class Reply(msgspec.Struct, frozen=True):
    """An answer to a merchant."""

    status: int
    body: bytes
    headers: dict[str, str] = {}


class Download(msgspec.Struct, frozen=True):
    """A file: its first piece is here, the others are fetched as the client takes them."""

    first: bytes
    rest: AsyncGenerator[bytes, None]
    headers: dict[str, str]


class Served(msgspec.Struct, frozen=True):
    """A call of merchants, and who answers it."""

    call: Call
    answer: Callable[[Asked], Awaitable[Reply | Download]]


class ServedBehind(msgspec.Struct, frozen=True):
    """A call that is not hot, and who answers it on Starlette."""

    call: Call
    answer: Callable[[Request], Awaitable[Response]]
