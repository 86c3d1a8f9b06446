"""Commands to a real server over a network that fails: what may have been done is never a no."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis import exceptions
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ops.embedded import Running
from shared.bus.calls import Caller
from shared.bus.reader import read_after
from shared.contracts.errors import NotAccepted, NotKnown
from shared.runtime import connections, resp
from shared.runtime.redis import LINES_MAX, Client, connect
from shared.runtime.resp import NotSent
from tests.chaos.links import Link, Weather

pytestmark = pytest.mark.integration
WITHIN_S = 10.0


@pytest.fixture
async def client(redis_url: str, link: Link) -> AsyncIterator[Client]:
    """A client behind that network."""
    server = urlsplit(redis_url)
    client = connect(redis_url.replace(f":{server.port}/", f":{link.port}/"))
    yield client
    await client.aclose()


async def until_done(client: Client, *command: str) -> object:
    """Ask until there is an answer; a server that is back must be found within seconds."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                return await client.line.ask(*command)
            except RedisConnectionError:
                await asyncio.sleep(0.01)


async def until_blocked(redis: Client, count: int) -> None:
    """Wait until so many clients wait at the server."""
    async with asyncio.timeout(WITHIN_S):
        while (await redis.info("clients"))["blocked_clients"] != count:  # noqa: ASYNC110 - its
            await asyncio.sleep(0.01)


# -- many at once ---------------------------------------------------------------------------


async def test_all_callers_share_one_connection_and_each_gets_his_own(redis: Client) -> None:
    """Two hundred at once are two hundred answers, each in the right hands."""
    answers = await asyncio.gather(*(redis.line.ask("ECHO", f"{n}") for n in range(200)))
    assert answers == [b"%d" % n for n in range(200)]
    assert (await redis.info("clients"))["connected_clients"] == 2  # redis-py's, which asks this


async def test_an_error_among_several_fails_nobody_else(redis: Client) -> None:
    """Each command of a request has its own reply, and an error is one."""
    await redis.set("name", "text")
    replies = await redis.line.ask_each([("INCR", "name"), ("GET", "name"), ("INCR", "count")])
    assert isinstance(replies[0], exceptions.ResponseError)
    assert replies[1:] == [b"text", 1]


async def test_a_read_that_waits_keeps_nobody_waiting(redis: Client) -> None:
    """It has a connection of its own, and gives it to the next one when it is done."""
    reading = [
        asyncio.create_task(redis.reads.ask("BLPOP", f"list:{n}", 0, answer_s=WITHIN_S))
        for n in range(3)
    ]
    await until_blocked(redis, 3)
    for n in range(3):
        assert await redis.line.ask("RPUSH", f"list:{n}", "x") == 1
    assert await asyncio.gather(*reading) == [[b"list:%d" % n, b"x"] for n in range(3)]
    before = (await redis.info("clients"))["connected_clients"]
    assert await redis.reads.ask("PING", answer_s=WITHIN_S) == b"PONG"
    assert (await redis.info("clients"))["connected_clients"] == before


async def test_however_many_reads_wait_a_write_is_not_kept_from_its_connection(
    redis: Client, redis_url: str
) -> None:
    """With more partitions than there are connections for writes, none of these starves."""
    client = connect(redis_url, reads_max=LINES_MAX + 1)
    reading = [
        asyncio.create_task(
            read_after(client, {f"stream:{n}": "0-0"}, count_max=1, block_ms=10_000)
        )
        for n in range(LINES_MAX + 1)
    ]
    await until_blocked(redis, len(reading))
    assert await client.lines.ask("XADD", "stream:0", "*", "a", "b", answer_s=WITHIN_S)
    (entry,) = await reading[0]
    assert entry.fields == {"a": b"b"}
    await client.aclose()
    await asyncio.gather(*reading, return_exceptions=True)


async def test_a_read_that_was_given_up_takes_nothing_any_more(redis: Client) -> None:
    """A draining consumer that still waits at the server would be given what nobody handles."""
    reading = asyncio.create_task(redis.reads.ask("BLPOP", "list", 0, answer_s=WITHIN_S))
    await until_blocked(redis, 1)
    reading.cancel()
    await until_blocked(redis, 0)
    await redis.line.ask("RPUSH", "list", "x")
    assert await redis.llen("list") == 1


async def test_reads_beyond_the_bound_are_refused_unsent(
    redis: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait a little for a connection; then they know that nothing was asked."""
    monkeypatch.setattr(connections, "COMMAND_TIMEOUT_S", 0.05)
    lines = connections.Lines(redis.line._server, connections_max=1)
    reading = asyncio.create_task(lines.ask("BLPOP", "list", 0, answer_s=WITHIN_S))
    await until_blocked(redis, 1)
    with pytest.raises(NotSent, match="No connection available"):
        await lines.ask("BLPOP", "list", 0, answer_s=WITHIN_S)
    await redis.line.ask("RPUSH", "list", "x")
    assert await reading == [b"list", b"x"]
    await lines.aclose()


# -- the network ----------------------------------------------------------------------------


async def test_a_command_whose_answer_is_lost_is_not_known_and_not_sent_again(
    client: Client, link: Link, redis: Client
) -> None:
    """It was done once; nobody says that it was not, and nobody does it a second time."""
    assert await client.line.ask("INCR", "count") == 1
    link.suffer(Weather.ANSWER_LOST)
    with pytest.raises(RedisConnectionError) as told:
        await client.line.ask("INCR", "count")
    assert not isinstance(told.value, NotSent)
    assert await redis.get("count") == b"2"
    link.heal()
    assert await client.line.ask("INCR", "count") == 3


async def test_what_finds_no_connection_was_surely_not_done(
    client: Client, link: Link, redis: Client
) -> None:
    """A network that lets nothing through costs a refusal; when it is back, all goes on."""
    await client.line.ask("PING")
    await link.close()
    with pytest.raises(RedisConnectionError):
        await client.line.ask("INCR", "count")  # on the connection that has just been cut
    for _ in range(3):
        with pytest.raises(NotSent, match="connecting to"):
            await client.line.ask("INCR", "count")
    with pytest.raises(NotSent, match="connecting to"):
        await client.lines.ask("INCR", "count", answer_s=WITHIN_S)
    assert await redis.get("count") is None


async def test_a_call_is_refused_where_none_was_sent_and_in_doubt_where_one_was(
    client: Client, link: Link
) -> None:
    """What a merchant hears, and whether a step is repeated, hangs on this difference."""
    caller = Caller(client, replicas=0)
    await caller.call("verified", ["topup:{0}:meta"], [])
    link.suffer(Weather.ANSWER_LOST)
    with pytest.raises(NotKnown):
        await caller.call("verified", ["topup:{0}:meta"], [])
    await link.close()
    with pytest.raises(NotAccepted):
        await caller.call("verified", ["topup:{0}:meta"], [])


@pytest.mark.parametrize("weather", [Weather.STALL, Weather.HALF_OPEN])
async def test_nobody_waits_for_ever_and_a_late_answer_reaches_nobody(
    client: Client, link: Link, monkeypatch: pytest.MonkeyPatch, weather: Weather
) -> None:
    """All who were on the silent connection are in doubt; the next one has another connection."""
    await client.line.ask("PING")
    monkeypatch.setattr(connections, "COMMAND_TIMEOUT_S", 0.2)
    link.suffer(weather)
    asked = [client.line.ask("ECHO", f"{n}") for n in range(3)]
    for told in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(told, RedisTimeoutError)
    monkeypatch.setattr(connections, "COMMAND_TIMEOUT_S", WITHIN_S)
    link.heal()
    assert await client.line.ask("ECHO", "mine") == b"mine"


@pytest.mark.parametrize("weather", [Weather.DELAY, Weather.DRIBBLE])
async def test_slow_bytes_are_the_same_bytes(client: Client, link: Link, weather: Weather) -> None:
    """However they trickle in, each answer is whole and in the right hands."""
    link.suffer(weather)
    answers = await asyncio.gather(*(client.line.ask("ECHO", f"{n}" * 50) for n in range(20)))
    assert answers == [b"%d" % n * 50 for n in range(20)]


async def test_a_read_without_an_answer_ends_its_connection(
    client: Client, link: Link, redis: Client
) -> None:
    """The server must not go on waiting for somebody who has left."""
    await client.reads.ask("PING", answer_s=WITHIN_S)
    link.suffer(Weather.STALL)
    with pytest.raises(RedisTimeoutError):
        await client.reads.ask("BLPOP", "list", 0, answer_s=0.1)
    link.heal()
    assert await client.reads.ask("ECHO", "mine", answer_s=WITHIN_S) == b"mine"
    await until_blocked(redis, 0)


async def test_after_a_silent_loss_one_pays_a_deadline_and_no_other(
    client: Client, link: Link, redis: Client
) -> None:
    """Whoever comes next has a new connection, not one that was idle when the network went."""
    reads = [
        asyncio.create_task(client.reads.ask("BLPOP", f"list:{n}", 0, answer_s=WITHIN_S))
        for n in range(3)
    ]
    await until_blocked(redis, 3)
    for n in range(3):
        await redis.line.ask("RPUSH", f"list:{n}", "x")
    await asyncio.gather(*reads)
    link.suffer(Weather.HALF_OPEN)
    with pytest.raises(RedisTimeoutError):
        await client.reads.ask("PING", answer_s=0.1)
    link.heal()
    for _ in range(3):
        assert await client.reads.ask("PING", answer_s=WITHIN_S) == b"PONG"


async def test_the_kernel_ends_what_has_fallen_silent(redis: Client) -> None:
    """Idle or not: all connections ask for it, those of redis-py too."""
    await redis.ping()
    await redis.line.ask("PING")
    await redis.lines.ask("PING", answer_s=WITHIN_S)
    (theirs,) = redis.connection_pool._available_connections
    for transport in (
        redis.line._connection._transport,
        redis.lines._idle[0]._transport,
        theirs._writer.transport,
    ):
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        found = {one: sock.getsockopt(socket.IPPROTO_TCP, one) for one in connections.SILENT_TCP}
        assert found == connections.SILENT_TCP


async def test_what_is_closed_does_not_come_back_to_life(redis: Client, redis_url: str) -> None:
    """Neither for who asks later, nor for who was connecting or waiting meanwhile."""
    await redis.set("name", "x")
    before = (await redis.info("clients"))["connected_clients"]
    client = connect(redis_url)
    await client.line.ask("PING")
    asked = [
        asyncio.create_task(client.reads.ask("BLPOP", "list", 0, answer_s=WITHIN_S)),
        asyncio.create_task(client.lines.ask("PING", answer_s=WITHIN_S)),
    ]
    await until_blocked(redis, 1)
    fresh = connect(redis_url)
    asked += [
        asyncio.create_task(fresh.line.ask("PING")),
        asyncio.create_task(fresh.lines.ask("PING", answer_s=WITHIN_S)),
    ]
    await asyncio.sleep(0)  # they are connecting
    await fresh.aclose()
    await client.aclose()
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(done[0], RedisConnectionError)
    assert [type(one) for one in done[2:]] == [NotSent, NotSent]
    for closed in (client, fresh):
        with pytest.raises(NotSent, match="closed"):
            await closed.line.ask("PING")
        with pytest.raises(NotSent, match="closed"):
            await closed.lines.ask("PING", answer_s=WITHIN_S)

    async with asyncio.timeout(WITHIN_S):
        while (await redis.info("clients"))["connected_clients"] != before:  # noqa: ASYNC110 - its
            await asyncio.sleep(0.01)


# -- the server -------------------------------------------------------------------------------


async def test_a_server_that_was_killed_is_found_again(tmp_path: Path) -> None:
    """While it is away commands are refused or in doubt; on disk is what was answered."""
    running = Running.valkey(tmp_path / "valkey")
    client = connect(running.url)
    try:
        await client.line.ask("INCR", "count")
        waiting = asyncio.create_task(client.reads.ask("BLPOP", "list", 0, answer_s=WITHIN_S))
        await until_blocked(client, 1)
        running.kill()
        with pytest.raises(RedisConnectionError):
            await waiting
        with pytest.raises(RedisConnectionError):
            await client.line.ask("INCR", "away")
        with pytest.raises(NotSent):
            await client.line.ask("INCR", "away")
        running.revive()
        assert await until_done(client, "GET", "count") == b"1"
        assert await client.line.ask("GET", "away") is None
        assert await client.lines.ask("PING", answer_s=WITHIN_S) == b"PONG"
    finally:
        await client.aclose()
        running.stop()


async def test_a_server_that_is_behind_is_given_no_endless_queue(
    client: Client, link: Link, redis: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes beyond the bound is refused at once; those before are answered when it goes on."""
    monkeypatch.setattr(resp, "IN_FLIGHT_MAX", 2)
    await client.line.ask("PING")
    link.suffer(Weather.STALL)
    asked = [asyncio.create_task(client.line.ask("INCR", "count")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(NotSent, match="behind"):
        await client.line.ask("INCR", "count")
    link.heal()
    assert await asyncio.gather(*asked) == [1, 2]
    assert await redis.get("count") == b"2"


REFUSALS = (
    "LOADING Redis is loading the dataset in memory", "OOM command not allowed",
    "READONLY You can't write", "MASTERDOWN Link with MASTER is down", "CLUSTERDOWN away",
    "TRYAGAIN later", "ASK 1 127.0.0.1:1", "MOVED 1 127.0.0.1:1", "NOAUTH who", "NOPERM not you",
    "NOREPLICAS few", "MISCONF disk", "BUSY slow",
)  # fmt: skip
DOUBTS = ("ERR what", "WRONGTYPE what", "NOSCRIPT what", "SOMETHING new")


@pytest.mark.parametrize(
    ("said", "kind"),
    [*((said, NotAccepted) for said in REFUSALS), *((said, NotKnown) for said in DOUBTS)],
)
async def test_what_a_server_says_is_understood_as_it_always_was(
    redis: Client, said: str, kind: type[Exception]
) -> None:
    """A refusal that has a name was surely not done; what has none may have been."""
    library = "#!lua name=topups1\nserver.register_function('topups1_verified', function(_, args) "
    library += "return server.error_reply(args[1]) end)"
    await redis.execute_command("FUNCTION", "LOAD", "REPLACE", library)
    with pytest.raises(kind) as told:
        await Caller(redis, replicas=0).call("verified", ["topup:{0}:meta"], [said])
    assert type(told.value) is kind


# -- who asks ---------------------------------------------------------------------------------


def as_somebody(redis_url: str, who: str, *, rest: str = "0") -> str:
    """Return the address with another name and password."""
    server = urlsplit(redis_url)
    return f"redis://{who}@{server.hostname}:{server.port}/{rest}"


async def test_a_connection_is_somebodys_in_a_database_and_has_a_name(
    redis: Client, redis_url: str
) -> None:
    """All that the URL says holds for every connection, before the first command."""
    await redis.execute_command("ACL", "SETUSER", "ana", "on", ">p@ss", "~*", "+@all")
    client = connect(as_somebody(redis_url, "ana:p%40ss", rest="3?client_name=topup"))
    try:
        for found in (
            await client.line.ask("CLIENT", "INFO"),
            await client.lines.ask("CLIENT", "INFO", answer_s=WITHIN_S),
        ):
            said = dict(pair.split(b"=", 1) for pair in found.split())
            assert (said[b"user"], said[b"db"], said[b"name"]) == (b"ana", b"3", b"topup")
            assert said[b"resp"] == b"2"
    finally:
        await client.aclose()
        await redis.execute_command("ACL", "DELUSER", "ana")


async def test_a_wrong_password_is_said_and_is_no_acceptance(redis: Client, redis_url: str) -> None:
    """Nothing was asked: the server did not even know who wanted to."""
    client = connect(as_somebody(redis_url, "ana:wrong"))
    try:
        with pytest.raises(exceptions.AuthenticationError):
            await client.line.ask("PING")
        with pytest.raises(NotAccepted, match="username-password"):
            await Caller(client, replicas=0).call("verified", ["topup:{0}:meta"], [])
    finally:
        await client.aclose()


async def test_a_database_that_is_not_there_is_no_acceptance(redis_url: str) -> None:
    """What would go to another database does not go at all."""
    client = connect(redis_url.replace("/0", "/4000"))
    try:
        with pytest.raises(NotSent, match="DB index"):
            await client.line.ask("PING")
    finally:
        await client.aclose()


async def test_what_the_url_says_of_certificates_holds(redis_url: str, tmp_path: Path) -> None:
    """A server is believed by its certificate alone, as it is by every other connection of ours."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(_certificate())
    async with _behind_tls(redis_url, certificate) as port:
        secure = as_somebody(redis_url, urlsplit(redis_url).netloc.rpartition("@")[0])
        secure = secure.replace("redis://", "rediss://")
        secure = secure.replace(f":{urlsplit(redis_url).port}/", f":{port}/")
        believing = connect(f"{secure}?ssl_ca_certs={certificate}")
        doubting = connect(secure)
        try:
            assert await believing.line.ask("ECHO", "secret") == b"secret"
            with pytest.raises(NotSent, match="certificate verify failed"):
                await doubting.line.ask("ECHO", "secret")
        finally:
            await believing.aclose()
            await doubting.aclose()


@asynccontextmanager
async def _behind_tls(redis_url: str, certificate: Path) -> AsyncIterator[int]:
    """Yield a port that speaks TLS and leads to the server."""
    server = urlsplit(redis_url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(server.hostname, server.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, forth), pump(back, writer), return_exceptions=True)

    listener = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


def _certificate() -> bytes:
    """Return a key and a certificate of 127.0.0.1 that vouches for itself."""
    key, long_ago = ec.generate_private_key(ec.SECP256R1()), datetime(2020, 1, 1, tzinfo=UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "valkey")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(long_ago)
        .not_valid_after(long_ago + timedelta(days=36_500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
