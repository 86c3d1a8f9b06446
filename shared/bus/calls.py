"""How a function is called: loaded where it is missing, on disk when it returns, errors named."""

from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.bus import functions
from shared.contracts.errors import NotAccepted, NotDurable, NotKnown, PartitionsDiffer
from shared.runtime.redis import Client

WAITAOF_TIMEOUT_MS: Final = 2_000
_REFUSED: Final = (
    OutOfMemoryError, ReadOnlyError, BusyLoadingError, MasterDownError, ClusterDownError,
    TryAgainError, AskError, AuthenticationError, NoPermissionError,
)  # fmt: skip
"""How a server says that it has done nothing: where the client has a class for it, without the
first word."""
_REFUSALS: Final = ("NOREPLICAS", "MISCONF", "BUSY")
"""The first words of those that it has no class for."""


class Caller:
    """Calls the library's functions on one server or cluster.

    With `replicas`, a durable call counts once its write is on that many replicas' disks too.
    """

    def __init__(self, client: Client, *, replicas: int) -> None:
        self._client = client
        self.replicas = replicas

    async def call(
        self, function: str, keys: Sequence[str], args: Sequence[Any], *, durable: bool = False
    ) -> Any:  # noqa: ANN401 - each caller types its own reply
        try:
            try:
                return await self._fcall(function, keys, args, durable=durable)
            except ResponseError as error:
                if "function not found" not in str(error).lower():
                    raise
                await functions.load(self._client)
                return await self._fcall(function, keys, args, durable=durable)
        except _REFUSED as error:
            raise NotAccepted(str(error)) from error
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            raise _unanswered(error) from error
        except ResponseError as error:
            raise _refused(error) from error

    async def _fcall(
        self, function: str, keys: Sequence[str], args: Sequence[Any], *, durable: bool
    ) -> Any:  # noqa: ANN401 - as `call`
        name = f"{functions.LIBRARY}_{function}"
        if not (durable and self.replicas):
            return await self._client.fcall(name, len(keys), *keys, *args)
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.fcall(name, len(keys), *keys, *args)
            pipe.execute_command("WAITAOF", 1, self.replicas, WAITAOF_TIMEOUT_MS)
            reply, kept = await pipe.execute(raise_on_error=False)  # raised, each has a preface
        if isinstance(reply, Exception):
            raise reply
        if isinstance(kept, Exception):
            raise NotDurable(str(kept)) from kept
        local, remote = kept
        if local < 1 or remote < self.replicas:
            raise NotDurable(f"on {local} own disk and {remote} of {self.replicas} replicas")
        return reply


def _unanswered(error: Exception) -> NotKnown | NotAccepted:
    """Tell a command that was never sent from one whose answer is lost."""
    text = str(error)
    if isinstance(error, RedisConnectionError) and (
        "connecting to" in text or "No connection available" in text
    ):
        return NotAccepted(text)
    return NotKnown(text or type(error).__name__)


def _refused(error: ResponseError) -> PartitionsDiffer | NotAccepted | NotKnown:
    """Tell a refusal from what we have no name for: that may have been done."""
    text = str(error)
    if text.startswith("PARTITIONS"):
        return PartitionsDiffer(f"the streams were {text.removeprefix('PARTITIONS ')}")
    if text.split(" ", 1)[0] in _REFUSALS:
        return NotAccepted(text)
    return NotKnown(text)
