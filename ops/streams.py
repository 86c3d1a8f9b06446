"""The streams, as a command reaches them; their problems are one line."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from redis.exceptions import RedisError

from ops.connections import check_addresses, environment_here, setting
from ops.errors import CommandFailed
from shared.bus.topups import Topups
from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client, connect

ANSWER_S_MAX: Final = 5.0


class Streams(msgspec.Struct, frozen=True):
    """The server, and its topups in as many partitions as were written down there."""

    client: Client
    topups: Topups


@asynccontextmanager
async def open_streams() -> AsyncIterator[Streams]:
    """Yield the streams of REDIS_URL, or those that run here.

    Raises:
        CommandFailed: there are none, or they do not answer.
    """
    environ = environment_here(os.environ, needed=("REDIS_URL",))
    check_addresses(environ)
    url = setting("REDIS_URL", environ)
    assert url is not None, "environment_here has seen it"
    client = connect(url)
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            written = await client.hget(PartitionKeys(0).meta, "partitions")
        topups = Topups(client, partitions=int(written or 1), window_ms=0)
        yield Streams(client, topups)
    except BrokenPipeError:
        raise  # whoever reads what we print has seen enough
    except TimeoutError:
        raise CommandFailed(f"the streams gave no answer within {ANSWER_S_MAX:.0f} s") from None
    except (RedisError, OSError) as problem:
        raise CommandFailed(f"the streams did not answer: {said(problem)}") from None
    finally:
        await client.aclose()


def said(problem: BaseException) -> str:
    """Return the first line of what a server or driver says: it never holds the password."""
    return (str(problem).strip() or type(problem).__name__).splitlines()[0]
