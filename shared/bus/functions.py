"""Loads the library `topups1` where it is missing, and never puts an older one back."""

import re
from importlib.resources import files
from typing import Final

from redis.exceptions import NoPermissionError, ResponseError

from shared.contracts.errors import FunctionsUnsupported
from shared.runtime.redis import Client

LIBRARY: Final = "topups1"
_MINOR: Final = re.compile(rb"^-- minor (\d+)$", re.MULTILINE)


def source() -> bytes:
    """Return the library's text."""
    return files("shared.bus").joinpath("topups.lua").read_bytes()


async def load(client: Client) -> bool:
    """Load the library where a server has none or an earlier minor version; tell whether it did.

    Replicas get it from their primary, and have it when they are promoted.

    Raises:
        FunctionsUnsupported: the server has no FUNCTION command.
        NoPermissionError: they are to be loaded, and this user may not.
    """
    return any([await _load(server) for server in await client.servers()])


async def _load(server: Client) -> bool:
    ours = source()
    try:
        present = await server.line.ask("FUNCTION", "LIST", "LIBRARYNAME", LIBRARY, "WITHCODE")
        if present and _minor_of(_code(present[0])) >= _minor_of(ours):
            return False
        await server.line.ask("FUNCTION", "LOAD", "REPLACE", ours)
    except NoPermissionError as error:  # who could replace them would have everybody's rights
        raise NoPermissionError(
            "the stream functions are missing or of an earlier version, and a service may not load "
            "them; run: topup migrate"
        ) from error
    except ResponseError as error:
        if "unknown command" in str(error).lower():
            raise FunctionsUnsupported(
                "this server has no functions; use Valkey, or Redis 7 or later"
            ) from error
        raise
    return True


def _code(library: list[bytes]) -> bytes:
    fields = dict(zip(library[::2], library[1::2], strict=True))
    return fields[b"library_code"]


def _minor_of(code: bytes) -> int:
    found = _MINOR.search(code)
    return int(found[1]) if found else 0
