"""One request on the wire for each call, a bounded answer, and doubt from the first byte on."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from ops.ports import free_port
from services.dispatcher.providers.adapter import NotSent, Unknown
from services.dispatcher.providers.wire import Wire
from shared.web.client import Reply
from tests.contract.providers import peers
from tests.contract.providers.peers import Peer, until
from tests.contract.providers.sales import Attempt

METHODS = ["GET", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"]
OUT_MAX = 16_000_000
"""What the kernel's buffers may take of a flood; far from all of it."""


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """A wire with short patience."""
    made = Wire(connect_timeout_ms=500, answer_timeout_ms=300)
    yield made
    await made.close()


async def call(
    wire: Wire, url: str, method: str = "POST", attempt: Attempt | None = None
) -> Reply | NotSent | Unknown:
    """Make one paying call."""
    return await wire.call(
        method,
        URL(url) / "pay",
        headers={"content-type": "application/json"},
        body=b"" if method == "GET" else b'{"pay":1}',
        permit=attempt or Attempt("x"),
        answer_timeout_ms=300,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("end", [peers.cuts, peers.resets])
async def test_an_unanswered_request_is_never_repeated(
    wire: Wire, method: str, end: peers.Act
) -> None:
    """On a fresh connection, and on one that has served before."""
    async with Peer(end) as fresh, Peer(peers.tells({}), end) as used:
        assert isinstance(await call(wire, fresh.url, method), Unknown)
        assert isinstance(await call(wire, used.url, "POST"), Reply)
        attempt = Attempt("x")
        assert isinstance(await call(wire, used.url, method, attempt), Unknown)
        assert len(fresh.requests) == 1
        assert [seen.method for seen in used.requests] == ["POST", method]
        assert len(used.connections) == 1, "the second call did reuse the connection"
        assert (attempt.looked, attempt.sent) == (1, 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(
    wire: Wire, method: str, status: int
) -> None:
    async with Peer(peers.tells({}, status, extra=b"location: /elsewhere\r\n")) as peer:
        answer = await call(wire, peer.url, method)
        assert isinstance(answer, Reply)
        assert answer.status == status
        assert peer.paths() == ["/pay"]


@pytest.mark.parametrize("method", METHODS)
async def test_a_withheld_request_leaves_no_byte(wire: Wire, method: str) -> None:
    async with Peer(peers.tells({})) as peer:
        attempt = Attempt("x", False)
        assert isinstance(await call(wire, peer.url, method, attempt), NotSent)
        assert (attempt.looked, attempt.sent) == (1, 0)
        await until(lambda: peer.ended == 1)
        assert peer.bytes_in == [0]


async def test_a_withheld_request_leaves_no_byte_on_a_used_connection(wire: Wire) -> None:
    async with Peer(peers.tells({})) as peer:
        await call(wire, peer.url)
        (before,) = peer.bytes_in
        assert isinstance(await call(wire, peer.url, attempt=Attempt("x", False)), NotSent)
        await until(lambda: peer.ended == 1)
        assert peer.bytes_in == [before]


@pytest.mark.parametrize(
    "act",
    [
        peers.floods,
        peers.floods_headers,
        peers.dribbles,
        peers.stalls_with_100,
        peers.is_silent,
        pytest.param(
            peers.says(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"), id="short"
        ),
        pytest.param(
            peers.says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nx"), id="half"
        ),
        pytest.param(peers.says(b"HTTP/1.1 2000000 OK\r\n\r\n"), id="status"),
        pytest.param(peers.says(b"SSH-2.0-something\r\n"), id="protocol"),
        pytest.param(peers.says(b"\x00\xff\xfe"), id="rubbish"),
    ],
)
async def test_a_broken_answer_is_unknown_within_bounds(wire: Wire, act: peers.Act) -> None:
    async with Peer(act) as peer:
        assert isinstance(await call(wire, peer.url), Unknown)
        assert len(peer.requests) == 1
        assert peer.bytes_out < OUT_MAX


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
ENDLESS = {
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim heads": (b"", b"HTTP/1.1 103 Early\r\na: b\r\n\r\n"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
    "empty lines": (b"", b"\r\n"),
    "a status line": (b"HTTP/1.1 200 ", b"a"),
    "tiny chunks": (CHUNKED, b"1\r\na\r\n"),
    "a chunk's size": (CHUNKED, b"0"),
    "a chunk's extension": (CHUNKED + b"2;", b"a"),
    "trailers": (CHUNKED + b"0\r\n", b"a: b\r\n"),
    "a body without a length": (b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
}


@pytest.mark.parametrize("part", ENDLESS)
async def test_what_never_ends_is_cut_off_before_the_deadline(wire: Wire, part: str) -> None:
    """Whichever part of an answer it is: read to the deadline it would starve all other topups."""
    async with Peer(peers.never_ends(*ENDLESS[part])) as peer:
        answer = await wire.call(
            "POST",
            URL(peer.url),
            headers={},
            body=b"{}",
            permit=Attempt("x"),
            answer_timeout_ms=60_000,
        )
        assert isinstance(answer, Unknown)
        assert answer.reason != "no whole answer: TimeoutError"
        await until(lambda: peer.ended == 1)
        assert peer.bytes_out < OUT_MAX


async def test_a_packed_answer_is_not_unpacked(wire: Wire) -> None:
    async with Peer(peers.tells(b"\x1f\x8b", extra=b"content-encoding: gzip\r\n")) as peer:
        answer = await call(wire, peer.url)
        assert isinstance(answer, Reply)
        assert answer.body == b"\x1f\x8b"
        assert peer.requests[0].headers["accept-encoding"] == "identity"


async def test_nobody_there_means_not_sent(wire: Wire) -> None:
    attempt = Attempt("x")
    answer = await call(wire, f"http://127.0.0.1:{free_port()}", attempt=attempt)
    assert isinstance(answer, NotSent)
    assert attempt.looked == 0


@pytest.mark.parametrize("host", ["does-not-exist.invalid", f"{'a' * 64}.invalid"])
async def test_a_name_that_leads_nowhere_means_not_sent(wire: Wire, host: str) -> None:
    attempt = Attempt("x")
    assert isinstance(await call(wire, f"https://{host}", attempt=attempt), NotSent)
    assert attempt.looked == 0


async def test_tls_that_fails_or_hangs_means_not_sent(wire: Wire) -> None:
    async with Peer(peers.is_silent) as peer:
        url = f"https://127.0.0.1:{peer.port}"
        assert isinstance(await call(wire, url), NotSent)
        assert peer.requests == []


async def test_an_idle_connection_that_was_closed_is_not_used(wire: Wire) -> None:
    async with Peer(peers.tells({})) as peer:
        await call(wire, peer.url)
        peer.connections[0].close()
        await until(lambda: wire.kept == 0)
        assert isinstance(await call(wire, peer.url), Reply)
        assert len(peer.connections) == 2


async def test_what_came_before_the_request_is_no_answer_to_it(wire: Wire) -> None:
    """A stray 401 would pass for "not processed", and the topup would be paid again."""
    async with Peer(peers.tells({"ours": True})) as peer:
        await call(wire, peer.url)
        await peers.tells({}, 401)(peer, peer.connections[0])
        await until(lambda: wire.kept == 0)
        answer = await call(wire, peer.url)
        assert isinstance(answer, Reply)
        assert answer.status == 200


async def test_giving_up_closes_the_connection(wire: Wire) -> None:
    async with Peer(peers.is_silent) as peer:
        attempt = Attempt("x")
        calling = asyncio.create_task(call(wire, peer.url, attempt=attempt))
        await until(lambda: attempt.sent == 1)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert wire.kept == 0


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n"])
async def test_an_answer_without_a_length_ends_with_its_connection(
    wire: Wire, before: bytes
) -> None:
    async with Peer(peers.says(before + b'HTTP/1.1 200 OK\r\n\r\n{"a":1}')) as peer:
        assert await call(wire, peer.url) == Reply(200, b'{"a":1}')
        assert wire.kept == 0


async def test_what_comes_after_the_answer_ends_the_connection(wire: Wire) -> None:
    """Two answers to one request: the second must never be taken for the next request's."""
    twice = 2 * b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    async with Peer(peers.says(twice)) as peer:
        assert isinstance(await call(wire, peer.url), Reply)
        assert wire.kept == 0


async def test_what_the_loop_has_not_read_yet_is_seen_before_the_write(wire: Wire) -> None:
    """It lies in the kernel only; no turn of our loop has passed since it came."""
    async with Peer(peers.tells({})) as peer:
        await call(wire, peer.url)
        sock = peer.connections[0].get_extra_info("socket")
        os.write(sock.fileno(), b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n")
        answer = await call(wire, peer.url)
        assert isinstance(answer, Reply)
        assert (answer.status, len(peer.connections)) == (200, 2)


async def test_an_offer_of_another_protocol_is_no_answer(wire: Wire) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
    async with Peer(peers.says(switch)) as peer:
        assert isinstance(await call(wire, peer.url), Unknown)


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\ny", "a\ry", "\u20ac"])
async def test_a_header_that_is_more_than_one_line_is_not_sent(wire: Wire, value: str) -> None:
    async with Peer(peers.tells({})) as peer:
        answer = await wire.call(
            "POST",
            URL(peer.url),
            headers={"authorization": value},
            permit=Attempt("x"),
            answer_timeout_ms=300,
        )
        assert isinstance(answer, NotSent)
        assert peer.connections == []
