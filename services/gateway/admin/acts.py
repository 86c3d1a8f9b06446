"""What all operators' calls share: who asks, what is asked, and what streams and books answer."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from redis.exceptions import RedisError
from starlette.requests import Request

from services.gateway.merchant.topups import json_body
from services.gateway.peers import PeerSilent
from services.gateway.refusals import Misunderstood, Unavailable
from shared.contracts.errors import InvalidRequest, NotAccepted, NotKnown
from shared.contracts.limits import BODY_BYTES_MAX

Admit = Callable[[Request], str]
"""Returns the name of who asks; raises Forbidden or Unauthorized."""

BodyT = TypeVar("BodyT", bound=msgspec.Struct)
DoneT = TypeVar("DoneT")


async def read_act(
    request: Request, kind: type[BodyT], *, example: str, bytes_max: int = BODY_BYTES_MAX
) -> BodyT:
    """Return the body.

    Raises:
        Misunderstood, UnsupportedMediaType, TooLarge: it is something else; says what would do.
    """
    raw = await json_body(request.headers, request.receive, bytes_max=bytes_max)
    try:
        body = msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        raise Misunderstood(f"{problem}; for example {example}") from None
    reason: str | None = getattr(body, "reason", None)
    if reason is not None and not (reason.strip() and reason.isprintable()):
        raise Misunderstood(f"reason must be printable text that says why; for example {example}")
    return body


def understood(read: Callable[[], int]) -> int:
    """Return what it reads of a word; raises Misunderstood where that is none of its kind."""
    try:
        return read()
    except InvalidRequest as problem:
        raise Misunderstood(str(problem)) from None


async def on_streams(doing: Awaitable[DoneT]) -> DoneT:
    """Return what it returns.

    Raises:
        Unavailable: the streams do not answer; the text says whether it may have been done.
    """
    try:
        return await doing
    except NotKnown as problem:
        raise Unavailable(
            "No answer came from the streams: it may have been done; look, or repeat it"
        ) from problem
    except (NotAccepted, RedisError, OSError) as problem:
        raise Unavailable("The streams cannot be asked right now; nothing was done") from problem


async def from_books(asking: Awaitable[DoneT], *, hint: str = "ask again") -> DoneT:
    """Return what the ledger answers; raises Unavailable where it does not, with the hint."""
    try:
        return await asking
    except PeerSilent as problem:
        raise Unavailable(f"The books cannot be asked right now; {hint}") from problem
