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
from shared.bus.messages import ItemFailed
from shared.bus.records import text
from shared.contracts.errors import (
    NotAccepted,
    NotDurable,
    NotKnown,
    PartitionsDiffer,
    Unverified,
)
from shared.runtime.connections import COMMAND_TIMEOUT_S
from shared.runtime.redis import Client
from shared.runtime.resp import Command, NotSent

WAITS_MS: Final = (5, 20, 2_000)
"""How long to wait for replicas, asking anew each time: one that is asked in the packet of the
write itself answers for what it had on disk before, and then not for another second."""
WAITED_S_MAX: Final = COMMAND_TIMEOUT_S + sum(WAITS_MS) / 1_000
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
        fcall = ("FCALL", f"{functions.LIBRARY}_{function}", len(keys), *keys, *args)
        if not (durable and self.replicas):
            return await self._client.ask(keys[0], *fcall)
        reply, *_, kept = await self._client.ask_patiently(
            keys[0], [fcall, *waits(self.replicas)], answer_s=WAITED_S_MAX
        )
        if isinstance(reply, Exception):
            raise reply
        on_all_disks(kept, self.replicas)
        return reply


def waits(replicas: int) -> list[Command]:
    """Return what asks whether the write before them is on so many replicas' disks."""
    return [("WAITAOF", 1, replicas, wait_ms) for wait_ms in WAITS_MS]


def on_all_disks(kept: Any, replicas: int) -> None:  # noqa: ANN401 - what WAITAOF gave, or an error
    """Raise NotDurable unless WAITAOF says that the write is on our disk and all those."""
    if isinstance(kept, Exception):
        raise NotDurable(str(kept)) from kept
    local, remote = kept
    if local < 1 or remote < replicas:
        raise NotDurable(f"on {local} own disk and {remote} of {replicas} replicas")


def failed_item(reply: Sequence[Any]) -> ItemFailed | None:
    """Return what one item of a batch failed of, if it did."""
    status = text(reply[0])
    return ItemFailed(status.removeprefix("error:")) if status.startswith("error:") else None


def _unanswered(error: Exception) -> NotKnown | NotAccepted:
    """Tell a command that was never sent from one whose answer is lost."""
    if isinstance(error, NotSent):
        return NotAccepted(str(error))
    return NotKnown(str(error) or type(error).__name__)


def _refused(error: ResponseError) -> PartitionsDiffer | NotAccepted | NotKnown:
    """Tell a refusal from what we have no name for: that may have been done."""
    said = str(error)
    if said.startswith("PARTITIONS"):
        return PartitionsDiffer(f"the streams were {said.removeprefix('PARTITIONS ')}")
    if said.startswith("UNVERIFIED"):
        return Unverified(f"the streams are {said.removeprefix('UNVERIFIED ')}")
    if said.split(" ", 1)[0] in _REFUSALS:
        return NotAccepted(said)
    return NotKnown(said)
