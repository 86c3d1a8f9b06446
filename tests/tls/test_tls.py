"""Redis and PostgreSQL over TLS: every way of ours to them believes certificate and name alone.

On Debian's redis-server and postgresql; the wheels' servers have no TLS. `make check-tls` runs it.
"""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis.exceptions import RedisError

from ops.ports import free_port
from shared.runtime.redis import Client, connect
from tests.tls.servers import (
    NAME,
    as_user,
    authority,
    postgres_server,
    redis_server,
    with_settings,
)

pytestmark = pytest.mark.tls
TOPUP = Path(sys.executable).with_name("topup")
WAIT_S_MAX = 30.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that PostgreSQL's account may enter too."""
    path = tmp_path_factory.mktemp("tls")
    for above in (path, *path.parents):
        if above.is_relative_to(tmp_path_factory.getbasetemp().parent):
            above.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def other_ca(folder: Path) -> Path:
    """An authority that knows neither server."""
    return authority(folder / "other-ca").ca


@pytest.fixture(scope="module")
def redis_url(folder: Path) -> Iterator[str]:
    """A Redis that speaks TLS."""
    with redis_server(folder / "redis", authority(folder / "redis-ca")) as url:
        yield url


@pytest.fixture(scope="module")
def database_url(folder: Path) -> Iterator[str]:
    """A PostgreSQL that speaks TLS."""
    with postgres_server(folder / "postgres", authority(folder / "postgres-ca")) as url:
        yield url


@pytest.fixture(scope="module")
def secrets_told(folder: Path, redis_url: str, database_url: str) -> dict[str, str]:
    """What the services are told, after a `topup migrate` over TLS."""
    told = {}
    for service in ("gateway", "ratelimiter", "dispatcher", "ledger"):
        file = folder / f"{service}.password"
        file.write_text(f"the-{service}s")
        told[f"{service.upper()}_PASSWORD_FILE"] = str(file)
    environ = {"REDIS_URL": redis_url, "DATABASE_URL": database_url, **told}
    done = subprocess.run(
        [TOPUP, "migrate"], env={**os.environ, **environ}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "topup_ledger may log in" in done.stdout
    assert "topup-gateway may log in" in done.stdout
    return told


def test_a_ledger_serves_over_tls_as_itself(
    redis_url: str, database_url: str, secrets_told: dict[str, str]
) -> None:
    """Both its servers by TLS, both by its own user; it gets ready, and its health is well."""
    instance = free_port()
    environ = {
        "REDIS_URL": as_user(redis_url, "topup-ledger"),
        "DATABASE_URL": as_user(database_url, "topup_ledger"),
        "PORT": str(free_port()),
        "INSTANCE_PORT": str(instance),
        **secrets_told,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services.ledger"], env={**os.environ, **environ}
    )
    try:
        deadline = time.monotonic() + WAIT_S_MAX
        while not _ready(instance):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.terminate()
        assert process.wait(WAIT_S_MAX) == 0


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


WAYS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "line": lambda client: client.line.ask("PING"),
    "lines": lambda client: client.lines.ask("PING", answer_s=2.0),
    "pool": lambda client: client.ping(),
}
"""The kinds of connection that a client has."""


async def ask(url: str, way: str) -> object:
    client = connect(url)
    try:
        return await WAYS[way](client)
    finally:
        await client.aclose()


@pytest.mark.parametrize("way", WAYS)
async def test_every_connection_is_encrypted(redis_url: str, way: str) -> None:
    """The server has no other port."""
    assert await ask(redis_url, way) in (b"PONG", True)


@pytest.mark.parametrize("way", WAYS)
async def test_a_redis_that_nobody_vouches_for_is_not_asked(
    redis_url: str, other_ca: Path, way: str
) -> None:
    """Neither the system's authorities do, nor another one."""
    for url in (redis_url.partition("?")[0], with_settings(redis_url, ssl_ca_certs=str(other_ca))):
        with pytest.raises((RedisError, OSError), match="certificate verify failed"):
            await ask(url, way)


@pytest.mark.parametrize("way", WAYS)
async def test_a_redis_of_another_name_is_not_asked(redis_url: str, way: str) -> None:
    """The certificate is another server's."""
    with pytest.raises((RedisError, OSError), match="mismatch, certificate is not valid for"):
        await ask(redis_url.replace(f"@{NAME}:", "@127.0.0.1:"), way)


@pytest.mark.parametrize("way", WAYS)
async def test_a_redis_is_not_asked_in_the_clear(redis_url: str, way: str) -> None:
    """A URL without the s gets no answer."""
    with pytest.raises((RedisError, OSError)):
        await ask(redis_url.replace("rediss://", "redis://").partition("?")[0], way)


def test_a_database_that_nobody_vouches_for_is_not_asked(database_url: str, other_ca: Path) -> None:
    """Another authority, another name, or no encryption: no password is sent."""
    for url, said in (
        (with_settings(database_url, sslrootcert=str(other_ca)), "certificate verify failed"),
        (database_url.replace(f"@{NAME}:", "@127.0.0.1:"), "does not match host name"),
        (with_settings(database_url, sslmode="disable"), "no pg_hba.conf entry"),
    ):
        with pytest.raises(psycopg.OperationalError, match=said):
            psycopg.connect(url, connect_timeout=5)
