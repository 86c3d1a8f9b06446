"""Loads the library `topups1` where it is missing, and never puts an older one back."""

import asyncio
import os
import re
import sys
from importlib.resources import files
from typing import Final

import msgspec
from redis.exceptions import RedisError, ResponseError

from shared.contracts.errors import FunctionsUnsupported, InvalidSettings, TopupError
from shared.runtime.redis import Client, connect
from shared.runtime.replica import RedisUrl
from shared.runtime.settings import load as read_settings

LIBRARY: Final = "topups1"
_MINOR: Final = re.compile(rb"^-- minor (\d+)$", re.MULTILINE)


class LoadSettings(msgspec.Struct, frozen=True, rename="upper"):
    """Where the functions go."""

    redis_url: RedisUrl


def source() -> bytes:
    """Return the library's text."""
    return files("shared.bus").joinpath("topups.lua").read_bytes()


async def load(client: Client) -> bool:
    """Load the library where a server has none or an earlier minor version; tell whether it did.

    Replicas get it from their primary, and have it when they are promoted.

    Raises:
        FunctionsUnsupported: the server has no FUNCTION command.
    """
    return any([await _load(server) for server in await client.servers()])


async def _load(server: Client) -> bool:
    ours = source()
    try:
        present = await server.line.ask("FUNCTION", "LIST", "LIBRARYNAME", LIBRARY, "WITHCODE")
        if present and _minor_of(_code(present[0])) >= _minor_of(ours):
            return False
        await server.line.ask("FUNCTION", "LOAD", "REPLACE", ours)
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


async def _load_once(url: str) -> None:
    client = connect(url)
    try:
        await load(client)
    finally:
        await client.aclose()


def main() -> None:
    """Load into `REDIS_URL`, for a deployment whose services may not."""
    try:
        settings = read_settings(LoadSettings, os.environ)  # noqa: TID251 - a command of its own
        asyncio.run(_load_once(settings.redis_url))
    except InvalidSettings as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(2)
    except (TopupError, RedisError, OSError) as problem:
        sys.exit(f"the functions could not be loaded: {problem}")
