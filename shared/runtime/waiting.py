"""Waits at a start for the servers that a service needs, and says each problem once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from redis.exceptions import RedisError

from shared.contracts.errors import NotAccepted, NotKnown

log = structlog.get_logger()

RETRY_S: Final = 0.2
REDIS_PASSING: Final = (NotAccepted, NotKnown, RedisError, OSError)
"""What a Redis that is away, or still loading, answers with."""


def _text(problem: Exception) -> str:
    return str(problem) or type(problem).__name__


async def until_done(
    event: str,
    step: Callable[[], Awaitable[object]],
    *,
    passing: tuple[type[Exception], ...] = REDIS_PASSING,
    said: Callable[[Exception], str] = _text,
) -> None:
    """Repeat a step until what it needs is up; any error that does not pass ends it at once."""
    told: set[str] = set()
    while True:
        try:
            await step()
        except passing as error:
            problem = said(error)
            if problem not in told:
                log.warning(event, problem=problem)
                told.add(problem)
            await asyncio.sleep(RETRY_S)
        else:
            return
