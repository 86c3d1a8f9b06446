"""One connection that speaks RESP: commands leave as they come, replies come back in their order.

Framing is hiredis', the rest is here because of what it must never do: send again, give a reply to
another command than its own, or call a command failed whose bytes may have left.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, TypeAlias, cast

import hiredis
import msgspec
from redis import exceptions
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

IN_FLIGHT_MAX: Final = 1_000
"""How many requests may be without their answer; whoever comes then is refused at once."""
UNSENT_BYTES_MAX: Final = 16 * 1024 * 1024
"""What may lie before a server that does not read."""

Command: TypeAlias = tuple[str | bytes | int | float, ...]
_MORE: Final = object()
_BY_CODE: Final[dict[str, type[RedisError]]] = {
    "ASK": exceptions.AskError,
    "CLUSTERDOWN": exceptions.ClusterDownError,
    "CROSSSLOT": exceptions.ClusterCrossSlotError,
    "EXECABORT": exceptions.ExecAbortError,
    "LOADING": exceptions.BusyLoadingError,
    "MASTERDOWN": exceptions.MasterDownError,
    "MOVED": exceptions.MovedError,
    "NOAUTH": exceptions.AuthenticationError,
    "NOPERM": exceptions.NoPermissionError,
    "NOSCRIPT": exceptions.NoScriptError,
    "OOM": exceptions.OutOfMemoryError,
    "READONLY": exceptions.ReadOnlyError,
    "TRYAGAIN": exceptions.TryAgainError,
    "WRONGPASS": exceptions.AuthenticationError,
}
_BY_TEXT: Final[dict[str, type[RedisError]]] = {
    "max number of clients reached": RedisConnectionError,
    "invalid password": exceptions.AuthenticationError,
    "Client sent AUTH, but no password is set": exceptions.AuthenticationError,
    "AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?": exceptions.AuthenticationError,
}
"""What follows `ERR`."""


class NotSent(RedisConnectionError):
    """No byte of the command has left: surely nothing was done."""


class _Request(msgspec.Struct):
    due: float
    count: int
    answer: asyncio.Future[list[Any]]
    replies: list[Any]


class Connection(asyncio.Protocol):
    """Carries any number of requests at once; `usable` until anything unforeseen has happened."""

    def __init__(self, where: str) -> None:
        self.usable = True
        self._where = where
        self._loop = asyncio.get_running_loop()
        self._lost = self._loop.create_future()
        self._reader = hiredis.Reader(replyError=error_of, notEnoughData=_MORE)
        self._requests: deque[_Request] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_due = 0.0

    # -- the caller's side -------------------------------------------------------------------

    def send(self, commands: Sequence[Command], answer_s: float) -> asyncio.Future[list[Any]]:
        """Hand commands over; their replies come together by the future, errors among them.

        The future fails when the connection does, or when no answer came for `answer_s`; then
        nobody knows what was done. Whoever cancels it is not answered, the others are.

        Raises:
            NotSent: as many as may be are in flight already.
        """
        data = b"".join([hiredis.pack_command(cast("Any", command)) for command in commands])
        if (
            len(self._requests) >= IN_FLIGHT_MAX
            or self._transport.get_write_buffer_size() > UNSENT_BYTES_MAX
        ):
            raise NotSent(f"{self._where} is behind: {len(self._requests)} wait for an answer")
        due = self._loop.time() + answer_s
        request = _Request(due, len(commands), self._loop.create_future(), [])
        self._requests.append(request)
        if self._alarm is None or due < self._alarm_due:
            self._set_alarm(due)
        self._transport.write(data)
        return request.answer

    def abort(self, problem: str = "the connection was given up") -> None:
        """Close it at once: what is still coming belongs to nobody."""
        self._end(RedisConnectionError, problem)
        self._transport.abort()

    async def closed(self) -> None:
        """Return when the transport is gone."""
        await asyncio.shield(self._lost)

    # -- the transport's side ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Give each reply to the request whose turn it is."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _MORE:
                if type(reply) is not hiredis.PushNotification:
                    self._take(reply)
        except hiredis.HiredisError as problem:
            self.abort(f"{self._where} does not speak RESP: {problem}")

    def eof_received(self) -> None:
        """Take no more requests: the server reads none."""
        self.usable = False

    def connection_lost(self, problem: Exception | None) -> None:
        """Leave everybody without an answer: what they asked may have been done."""
        said = f": {problem}" if problem else ""
        self._end(RedisConnectionError, f"Connection to {self._where} closed{said}")
        if not self._lost.done():
            self._lost.set_result(None)

    # -- requests and replies ------------------------------------------------------------------

    def _take(self, reply: Any) -> None:  # noqa: ANN401 - whatever RESP can carry
        if not self._requests:
            if self.usable:
                self.abort(f"{self._where} answers what nobody asked")
            return
        request = self._requests[0]
        request.replies.append(reply)
        if len(request.replies) == request.count:
            self._requests.popleft()
            if not request.answer.done():
                request.answer.set_result(request.replies)

    def _set_alarm(self, due: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_due = due
        self._alarm = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        """See whether the first is overdue: replies come in order, so nobody else can be."""
        self._alarm = None
        if not self._requests:
            return
        if self._requests[0].due > self._loop.time():
            self._set_alarm(self._requests[0].due)
            return
        self._end(RedisTimeoutError, f"Timeout reading from {self._where}")
        self._transport.abort()

    def _end(self, kind: type[RedisError], problem: str) -> None:
        self.usable = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        while self._requests:
            answer = self._requests.popleft().answer
            if not answer.done():
                answer.set_exception(kind(problem))


def error_of(said: str) -> RedisError:
    """Return what redis-py would raise for an error reply; never raises itself."""
    code, _, rest = said.partition(" ")
    kind = _BY_TEXT.get(rest) if code == "ERR" else _BY_CODE.get(code)
    if code == "ERR":
        return (kind or ResponseError)(rest)
    try:
        return ResponseError(said) if kind is None else kind(rest)
    except (ValueError, IndexError):  # a MOVED or ASK without the place
        return ResponseError(said)
