"""Reads a request's body up to a bound, and cuts off what goes beyond it."""

import asyncio
import re
from typing import Final

from starlette.types import Receive

LINGER_BYTES_MAX: Final = 256 * 1024
LINGER_S_MAX: Final = 1.0
_LENGTH: Final = re.compile(r"[0-9]{1,18}")


class BodyTooLarge(Exception):
    """The body is larger than the bound; refuse it and close the connection."""


class ClientGone(Exception):
    """The client left before its body was here; there is nobody to answer."""


async def read_body(receive: Receive, declared: str | None, *, bytes_max: int) -> bytes:
    """Return the whole body; one that declares too much is not read at all.

    Raises:
        BodyTooLarge: declared or sent more than `bytes_max`.
        ClientGone: the connection ended first.
    """
    if declared is not None and not fits(declared, bytes_max=bytes_max):
        raise BodyTooLarge
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > bytes_max:
            raise BodyTooLarge
        if not message.get("more_body", False):
            return body


def fits(declared: str, *, bytes_max: int) -> bool:
    """Tell whether a Content-Length is a length within the bound."""
    return _LENGTH.fullmatch(declared) is not None and int(declared) <= bytes_max


async def linger(receive: Receive) -> None:
    """Take a little of an unwanted body: a close on unread bytes would reset our answer away."""
    left = LINGER_BYTES_MAX
    try:
        async with asyncio.timeout(LINGER_S_MAX):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


async def gone(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
