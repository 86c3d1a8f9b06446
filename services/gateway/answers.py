"""What a route answers: all of it at once, or a download piece by piece."""

from collections.abc import AsyncGenerator

import msgspec


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
