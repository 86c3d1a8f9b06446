"""What a gateway does with bytes: half, odd, slow and endless ones, and the last before a drain."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import pytest

from services.gateway import app
from shared.web import connection, listener
from tests.integration.gateway.house import House
from tests.integration.gateway.ledger_stand import MERCHANT, SECRET

pytestmark = pytest.mark.integration

BODY = b'{"phone": "5566374683", "amount": 10, "provider": "LATCOM"}'
CHUNKED = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
WAIT_S_MAX = 5.0


def head(*lines: str, path: str = f"/api/{MERCHANT}/topup", method: str = "POST") -> bytes:
    """Return a request's head; it says nothing of a body."""
    usual = ["host: gateway", f"x-api-key: {SECRET}", "content-type: application/json"]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *usual, *lines, "", ""]).encode()


WHOLE = head(f"content-length: {len(BODY)}") + BODY
IN_CHUNKS = head("transfer-encoding: chunked")


@asynccontextmanager
async def opened(gateway: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect, and close at the end."""
    host, port = gateway.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def told(gateway: str, data: bytes, *, half_closed: bool = False) -> list[bytes]:
    """Send the bytes; return the status line of each answer, until the gateway closes."""
    async with opened(gateway) as (reader, writer):
        writer.write(data)
        if half_closed:
            writer.write_eof()
        async with asyncio.timeout(WAIT_S_MAX):
            answer = await reader.read()
        parts = answer.split(b"HTTP/1.1 ")[1:]
        for part in parts:
            check_described(part)
        return [b"HTTP/1.1 " + part[:3] for part in parts]


def check_described(answer: bytes) -> None:
    """Hold an answer to a topup, from its status on, against the API's description."""
    start, _, body = answer.decode().partition("\r\n\r\n")
    status, *lines = start.split("\r\n")
    headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    assert House.description is not None
    path = f"/api/{MERCHANT}/topup"
    House.description.check("POST", path, int(status[:3]), headers, body.encode())


async def answered(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the head and the body of the next answer."""
    async with asyncio.timeout(WAIT_S_MAX):
        start = (await reader.readuntil(b"\r\n\r\n")).lower()
        (length,) = (line for line in start.split(b"\r\n") if line.startswith(b"content-length"))
        return start, await reader.readexactly(int(length.split(b":")[1]))


OK, REFUSED = b"HTTP/1.1 202", b"HTTP/1.1 400"


UNREADABLE = {
    "garbage": (b"GARBAGE\r\n\r\n", [REFUSED]),
    "after a request": (WHOLE + b"GARBAGE\r\n\r\n", [OK]),
    "after two": (WHOLE + WHOLE + b"GARBAGE\r\n\r\n", [OK, OK]),
    "chunk": (IN_CHUNKS + b"zz\r\n", [REFUSED]),
    "chunk after a request": (WHOLE + IN_CHUNKS + b"zz\r\n", [OK]),
    "two lengths": (head("content-length: 1", "content-length: 1") + b"1", [REFUSED]),
    "no host": (WHOLE.replace(b"host: gateway\r\n", b""), [REFUSED]),
    "no host after a request": (WHOLE + WHOLE.replace(b"host: gateway\r\n", b""), [OK]),
    "two hosts": (WHOLE.replace(b"host:", b"Host: gateway\r\nhost:"), [REFUSED]),
    "a host with a path": (WHOLE.replace(b"host: gateway", b"host: gateway/../"), [REFUSED]),
    "two hosts, upgraded": (head("host: other", "upgrade: h2c", "connection: upgrade"), [REFUSED]),
    "connect": (b"CONNECT gateway:80 HTTP/1.1\r\n\r\n", [REFUSED]),
    "head": (head("x: " + "a" * 70_000), [b"HTTP/1.1 431"]),
    "head after a request": (WHOLE + head("x: " + "a" * 70_000), [OK]),
}


async def test_unreadable_bytes_never_take_the_place_of_an_answer(
    gateway: str, subtests: pytest.Subtests
) -> None:
    """Who asked before them hears what became of that; else they are refused, and it is closed."""
    for name, (data, answers) in UNREADABLE.items():
        with subtests.test(msg=name):
            assert await told(gateway, data) == answers


async def test_what_is_unreadable_is_refused_in_our_form(gateway: str) -> None:
    async with opened(gateway) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\naccept: application/problem+json\r\nno colon\r\n\r\n")
        start, body = await answered(reader)
        assert b"error-code: invalid_request" in start
        assert body == b'{"success":false,"error":"These bytes are no HTTP request"}'


@pytest.mark.parametrize("host", ["", "gateway", "127.0.0.1:8080", "[::1]:80", "a_b.c-d"])
async def test_one_host_is_whatever_it_was_asked_under(gateway: str, host: str) -> None:
    """Also none at all, where the address has none; HTTP/1.0 need not say it."""
    close = b"connection: close\r\n"
    asked = b"GET /health HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (host.encode(), close)
    for data in (asked, b"GET /health HTTP/1.0\r\n\r\n"):
        async with opened(gateway) as (reader, writer):
            writer.write(data)
            start, _ = await answered(reader)
            assert b"error-code: invalid_request" not in start


async def test_who_closes_its_half_still_hears_the_answer(home: House, gateway: str) -> None:
    """A topup that was accepted is told of; half a request is forgotten."""
    assert await told(gateway, WHOLE, half_closed=True) == [OK]
    assert await told(gateway, WHOLE + WHOLE[:40], half_closed=True) == [OK]
    assert await told(gateway, WHOLE + IN_CHUNKS + b"zz\r\n", half_closed=True) == [OK]
    assert await told(gateway, WHOLE[:-5], half_closed=True) == []
    assert await told(gateway, WHOLE[:40], half_closed=True) == []
    assert (await home.admin(gateway, "queue-stats")).json["total"] == 3


async def test_what_is_cut_in_the_middle_is_forgotten(home: House, gateway: str) -> None:
    """Wherever a reset cuts a request, nothing of it is accepted, and the next one is served."""
    for cut in range(1, len(WHOLE), 7):
        async with opened(gateway) as (_, writer):
            writer.write(WHOLE[:cut])
            await writer.drain()
            writer.transport.abort()
    assert await told(gateway, WHOLE, half_closed=True) == [OK]
    assert (await home.admin(gateway, "queue-stats")).json["total"] == 1


async def test_what_is_sent_at_once_is_answered_in_its_order(home: House, gateway: str) -> None:
    """Each request of a long pipeline once, the good and the bad, whatever is before it."""
    bad = WHOLE.replace(b'"amount": 10', b'"amount": -1')
    assert await told(gateway, (WHOLE + bad) * 25, half_closed=True) == [OK, b"HTTP/1.1 422"] * 25
    assert (await home.admin(gateway, "queue-stats")).json["total"] == 25


ALLOWED = {
    "h2c": (["upgrade: h2c", "connection: Upgrade, HTTP2-Settings"], b""),
    "websocket": (["upgrade: websocket", "connection: upgrade"], b""),
    "trailer": ([], b"x-api-key: another\r\n"),
    "spaces": (["x-customer-id: ENVIADESPENSA_001 \t "], b""),
}


async def test_what_http_lets_a_client_add_changes_nothing(
    gateway: str, subtests: pytest.Subtests
) -> None:
    """An upgrade that we need not take, a trailer, spaces behind a value: the topup is accepted."""
    for name, (lines, trailer) in ALLOWED.items():
        with subtests.test(msg=name):
            async with opened(gateway) as (reader, writer):
                start = head("transfer-encoding: chunked", *lines)
                for byte in start + CHUNKED + trailer + b"\r\n":
                    writer.write(bytes([byte]))
                    await writer.drain()
                assert (await answered(reader))[0].startswith(b"http/1.1 202 ")


async def test_a_trailer_without_end_is_cut_off(gateway: str) -> None:
    data = IN_CHUNKS + CHUNKED + b"x: " + b"a" * (connection.MESSAGE_BYTES_MAX + 100_000)
    async with opened(gateway) as (_, writer):
        writer.write(data)
        async with asyncio.timeout(WAIT_S_MAX):
            while not writer.is_closing():
                await asyncio.sleep(0.01)
                writer.write(b"a")


async def test_a_head_answers_without_a_body(home: House, gateway: str) -> None:
    """As GET, wherever GET is answered."""
    topup_id = (await home.post(gateway)).json["topup_id"]
    url = f"{gateway}/api/{MERCHANT}/topups/{topup_id}"
    answer = await home.ask("HEAD", url, headers={"x-api-key": SECRET})
    assert (answer.status, answer.body) == (200, b"")


async def test_another_spelling_is_another_path(gateway: str) -> None:
    """404 in our form; no redirect to wherever the header Host says."""
    topup = f"/api/{MERCHANT}/topup"
    for path in ("/health/", f"{topup}/", f"/api%2F{MERCHANT}/topup", "/api/admin%2fmetrics"):
        async with opened(gateway) as (reader, writer):
            writer.write(head("content-length: 0", path=path, method="GET"))
            start, _ = await answered(reader)
            assert start.startswith(b"http/1.1 404 ")
            assert b"error-code: not_found" in start


# -- time ------------------------------------------------------------------------------------------


async def test_who_is_slow_to_ask_is_closed(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing, half a head or half a body; half a request is told why."""
    for deadline in ("SILENT_S", "HEADER_S", "BODY_S"):
        monkeypatch.setattr(connection, deadline, 0.1)
    for sent in (b"", b"\r\n"):
        assert await told(gateway, sent) == []
    for sent in (WHOLE[:40], WHOLE[:-5]):
        assert await told(gateway, sent) == [b"HTTP/1.1 408"]


async def test_who_is_slow_to_ask_again_hears_the_first_answer(
    gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEADER_S", 0.1)
    assert await told(gateway, WHOLE + WHOLE[:40]) == [OK, b"HTTP/1.1 408"]


async def test_an_empty_line_is_no_sign_of_life(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept connection is closed when no request comes."""
    monkeypatch.setattr(listener, "IDLE_S", 0.2)
    async with opened(await home.gateway()) as (reader, writer):
        writer.write(WHOLE)
        await answered(reader)
        writer.write(b"\r\n")
        async with asyncio.timeout(WAIT_S_MAX):
            assert await reader.read() == b""


# -- drain -----------------------------------------------------------------------------------------


async def test_a_connection_that_nobody_accepted_yet_is_answered_before_a_drain_ends(
    home: House, gateway: str
) -> None:
    """The kernel has made it, and the merchant has sent: a close would be a reset."""
    host, port = gateway.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(WHOLE)  # without a turn of the loop
        await home.stop("gateway-1")
        client.settimeout(WAIT_S_MAX)
        answer = client.recv(65_536)
    assert answer.startswith(OK)
    assert b"connection: close" in answer


async def test_bytes_in_the_kernel_are_answered_before_a_drain_ends(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a kept connection that looks idle, at the last instant."""
    monkeypatch.setattr(app, "LINGER_S", 0.0)
    gateway = await home.gateway()
    async with opened(gateway) as (reader, writer):
        writer.write(WHOLE)
        await answered(reader)
        client = socket.socket(fileno=socket.dup(writer.get_extra_info("socket").fileno()))

        async def at_the_last_instant(_seconds: float) -> None:
            client.sendall(WHOLE)

        late = SimpleNamespace(sleep=at_the_last_instant, get_running_loop=asyncio.get_running_loop)
        monkeypatch.setattr(listener, "asyncio", late)
        await home.stop("gateway-1")
        start, _ = await answered(reader)
        assert start.startswith(b"http/1.1 202 ")
        assert b"connection: close" in start
        assert await reader.read() == b""
        client.close()


async def test_a_kept_connection_may_still_ask_when_a_drain_has_begun(home: House) -> None:
    """Its client cannot know of it; the answer says that it is the connection's last."""
    gateway = await home.gateway()
    async with opened(gateway) as (reader, writer):
        writer.write(WHOLE)
        await answered(reader)
        stopping = asyncio.create_task(home.stop("gateway-1"))
        await asyncio.sleep(2 * listener.SETTLE_S)  # longer than what has arrived is waited for
        assert not stopping.done()
        writer.write(WHOLE)
        start, _ = await answered(reader)
        assert start.startswith(b"http/1.1 202 ")
        assert b"connection: close" in start
        await asyncio.wait_for(stopping, WAIT_S_MAX)
