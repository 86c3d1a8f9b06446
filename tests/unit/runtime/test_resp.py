"""One RESP connection: whatever is done to the bytes, each request gets its own replies."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import exceptions
from redis._parsers.base import BaseParser

from shared.runtime import resp
from shared.runtime.resp import Connection, NotSent, error_of

Reply = tuple[bytes, Any]
"""What goes over the wire, and what it means."""

LONG_S, WITHIN_S = 60.0, 10.0


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self, protocol: Connection) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = b""
        self.unsent = 0
        self.aborted = False
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True
        self.protocol.connection_lost(None)


def opened() -> tuple[Connection, Wire]:
    connection = Connection("valkey:6379")
    return connection, Wire(connection)


_simple = st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=8)
_scalars: st.SearchStrategy[Reply] = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(lambda value: (b":%d\r\n" % value, value)),
    st.binary(max_size=40).map(lambda value: (b"$%d\r\n%s\r\n" % (len(value), value), value)),
    _simple.map(lambda value: (b"+%s\r\n" % value.encode(), value.encode())),
    _simple.map(lambda value: (b"-ERR %s\r\n" % value.encode(), f"!{value}")),
    st.just((b"$-1\r\n", None)),
    st.just((b"*-1\r\n", None)),
)


def _array(items: list[Reply]) -> Reply:
    return b"*%d\r\n" % len(items) + b"".join(wire for wire, _ in items), [it for _, it in items]


_replies = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4).map(_array))
_push = st.lists(_scalars, min_size=1, max_size=3).map(lambda them: b">" + _array(them)[0][1:])


def plain(reply: Any) -> Any:
    """Return errors as text, at any depth, so that they can be compared."""
    if isinstance(reply, list):
        return [plain(one) for one in reply]
    return f"!{reply}" if isinstance(reply, exceptions.RedisError) else reply


@given(
    st.lists(st.tuples(st.lists(_replies, min_size=1, max_size=3), st.lists(_push, max_size=1))),
    st.data(),
)
def test_replies_reach_those_who_asked_however_they_are_cut(
    requests: list[tuple[list[Reply], list[bytes]]], data: st.DataObject
) -> None:
    """Split at any byte, several at once, errors inside arrays, messages that nobody asked for."""

    async def exchange() -> None:
        connection, _ = opened()
        answers = [connection.send([("PING",)] * len(them), LONG_S) for them, _ in requests]
        stream = b"".join(
            b"".join(wire for wire, _ in them) + b"".join(pushed) for them, pushed in requests
        )
        cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=12)))
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            connection.data_received(stream[start:end])
        for answer, (them, _) in zip(answers, requests, strict=True):
            assert plain(answer.result()) == [meant for _, meant in them]
        assert connection.usable
        connection.abort()

    asyncio.run(exchange())


@given(st.lists(st.one_of(st.binary(), st.text(st.characters(codec="utf-8")), st.integers())))
def test_a_command_arrives_as_it_was_meant(arguments: list[bytes | str | int]) -> None:
    """Whatever bytes are in it: a server counts them, and looks for no end mark."""

    async def sent() -> bytes:
        connection, wire = opened()
        answer = connection.send([("FCALL", *arguments)], LONG_S)
        answer.cancel()
        connection.abort()
        return wire.written

    words = [b"FCALL", *(one if isinstance(one, bytes) else str(one).encode() for one in arguments)]
    meant = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    assert asyncio.run(sent()) == b"*%d\r\n" % len(words) + meant


def _said() -> Iterator[str]:
    for code, kind in BaseParser.EXCEPTION_CLASSES.items():
        if isinstance(kind, dict):
            yield from (f"{code} {text}" for text, one in kind.items() if one not in _NEVER_HERE)
        else:
            yield f"{code} 42 127.0.0.1:7000" if code in {"ASK", "MOVED"} else f"{code} why"
    yield from ("ERR Function not found", "NOREPLICAS few", "BUSY slow", "MISCONF disk", "", "ERR")


_NEVER_HERE = {
    exceptions.AuthenticationWrongNumberOfArgsError,  # of servers without functions
    exceptions.ExternalAuthProviderError,
    exceptions.ModuleError,
    exceptions.NoSuchFieldsetError,
}


@pytest.mark.parametrize("said", list(_said()))
def test_an_error_reply_has_the_name_that_redis_py_gives_it(said: str) -> None:
    """Who calls us handles one vocabulary, whichever way a command went."""
    ours, theirs = error_of(said), cast("Any", BaseParser).parse_error(said)
    assert (type(ours), str(ours)) == (type(theirs), str(theirs))


@given(st.text())
def test_no_error_reply_breaks_the_reader(said: str) -> None:
    """A MOVED without a place too: raising there would take the connection with it."""
    for code in ("MOVED", "ASK", "ERR", "LOADING"):
        assert isinstance(error_of(f"{code} {said}"), exceptions.RedisError)


async def test_who_leaves_shifts_nobody_elses_reply() -> None:
    """His reply comes all the same, and belongs to nobody."""
    connection, _ = opened()
    first, left, last = (connection.send([("GET", name)], LONG_S) for name in "abc")
    left.cancel()
    connection.data_received(b":1\r\n:2\r\n:3\r\n")
    assert (await first, await last) == ([1], [3])
    connection.abort()


@pytest.mark.parametrize("garbage", [b"?what\r\n", b"HTTP/1.1 400 Bad Request\r\n", b"$x\r\n"])
async def test_what_is_no_resp_ends_the_connection_and_leaves_all_unanswered(
    garbage: bytes,
) -> None:
    """A peer that cannot be understood may have done all that was asked of it."""
    connection, wire = opened()
    answered, lost = (connection.send([("GET", name)], LONG_S) for name in "ab")
    connection.data_received(b":1\r\n" + garbage)
    assert await answered == [1]
    with pytest.raises(exceptions.ConnectionError) as told:
        await lost
    assert not isinstance(told.value, NotSent)
    assert wire.aborted
    assert not connection.usable


async def test_a_reply_that_nobody_asked_for_ends_the_connection() -> None:
    """The next request would take it for its own."""
    connection, wire = opened()
    connection.data_received(b"+OK\r\n+OK\r\n")
    assert wire.aborted
    assert not connection.usable


async def test_a_lost_connection_leaves_all_its_requests_unanswered() -> None:
    """Their bytes may have left: none of them is said not to be sent, half an answer is none."""
    connection, _ = opened()
    answers = [connection.send([("INCR", "a"), ("INCR", "b")], LONG_S) for _ in range(3)]
    connection.data_received(b":1\r\n:1\r\n:2\r\n")
    connection.connection_lost(ConnectionResetError("reset by peer"))
    assert await answers[0] == [1, 1]
    for answer in answers[1:]:
        with pytest.raises(exceptions.ConnectionError, match="reset by peer") as told:
            await answer
        assert not isinstance(told.value, NotSent)


async def test_who_is_overdue_takes_those_behind_him_along() -> None:
    """One alarm watches all: replies come in order, so that nobody behind can be answered."""
    connection, wire = opened()
    first = connection.send([("GET", "a")], LONG_S)
    overdue = connection.send([("GET", "b")], 0.01)
    connection.data_received(b":1\r\n")
    behind = connection.send([("GET", "c")], LONG_S)
    assert await first == [1]
    for answer in (overdue, behind):
        with pytest.raises(exceptions.TimeoutError, match="valkey:6379"):
            await asyncio.wait_for(answer, WITHIN_S)
    assert wire.aborted


async def test_more_than_may_be_in_flight_are_refused_unsent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that is behind is not given an endless queue, and the refused know that they are."""
    monkeypatch.setattr(resp, "IN_FLIGHT_MAX", 2)
    connection, wire = opened()
    answers = [connection.send([("GET", "a")], LONG_S) for _ in range(2)]
    before = wire.written
    with pytest.raises(NotSent, match="behind: 2 wait"):
        await asyncio.wait_for(connection.send([("GET", "a")], LONG_S), WITHIN_S)
    wire.unsent = resp.UNSENT_BYTES_MAX + 1
    connection.data_received(b":1\r\n:2\r\n")
    with pytest.raises(NotSent):
        await asyncio.wait_for(connection.send([("GET", "a")], LONG_S), WITHIN_S)
    assert wire.written == before
    assert [await answer for answer in answers] == [[1], [2]]
    assert connection.usable
    connection.abort()


async def test_what_cannot_be_packed_is_not_asked() -> None:
    """A mistake of ours costs its own request, and shifts no reply."""
    connection, wire = opened()
    with pytest.raises(TypeError):
        await connection.send([("SET", "a", None)], LONG_S)  # type: ignore[list-item]
    assert wire.written == b""
    answer = connection.send([("GET", "a")], LONG_S)
    connection.data_received(b":1\r\n")
    assert await answer == [1]
    connection.abort()


def test_the_reader_knows_push_messages_from_replies() -> None:
    """We rely on hiredis for it: an array is a reply, a push message never is."""
    reader = hiredis.Reader()
    reader.feed(b">1\r\n+x\r\n*1\r\n+x\r\n")
    assert [type(reader.gets()) for _ in range(2)] == [hiredis.PushNotification, list]
