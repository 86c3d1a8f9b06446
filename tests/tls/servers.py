"""Debian's redis-server and postgresql on this machine, which speak TLS and nothing else."""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ops.children import as_account
from ops.ports import free_port
from ops.servers.account import server_account

READY_S_MAX: Final = 30.0
NAME: Final = "localhost"
"""The one name that the certificate vouches for."""


class Authority(NamedTuple):
    """Who vouches: the file to believe, and the server's certificate and key."""

    ca: Path
    certificate: Path
    key: Path


def programs() -> tuple[str, Path]:
    """Return redis-server and the folder of PostgreSQL's programs; fails where one is missing."""
    found, folders = shutil.which("redis-server"), sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if found is None or not folders:
        raise FileNotFoundError(
            "redis-server or postgresql is missing: apt-get install redis-server postgresql"
        )
    return found, folders[-1]


def authority(folder: Path) -> Authority:
    """Make an authority, and a certificate of NAME that it signs."""
    folder.mkdir(mode=0o755)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, secrets.token_hex(4))])
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    paths = Authority(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    ca = _signed(ca_name, ca_name, ca_key, ca_key, is_ca=True)
    paths.ca.write_bytes(ca)
    paths.certificate.write_bytes(_signed(name, ca_name, key, ca_key, is_ca=False))
    paths.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def _signed(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> bytes:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    building = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(long_ago)
        .not_valid_after(long_ago + timedelta(days=36_500))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if not is_ca:
        building = building.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False
        )
    return building.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@contextmanager
def redis_server(folder: Path, vouched: Authority) -> Iterator[str]:
    """Yield where a durable Redis is served, by TLS alone."""
    folder.mkdir(mode=0o700)
    port, password = free_port(), secrets.token_urlsafe(16)
    settings = {
        "port": "0", "tls-port": str(port), "bind": "127.0.0.1", "dir": str(folder), "save": '""',
        "tls-cert-file": str(vouched.certificate), "tls-key-file": str(vouched.key),
        "tls-ca-cert-file": str(vouched.ca), "tls-auth-clients": "no", "requirepass": password,
        "appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction",
    }  # fmt: skip
    conf = folder / "redis.conf"
    conf.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    url = f"rediss://:{password}@{NAME}:{port}/0?ssl_ca_certs={vouched.ca}"

    def answers() -> bool:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())

    with _running([programs()[0], str(conf)], folder / "log", answers):
        yield url


@contextmanager
def postgres_server(folder: Path, vouched: Authority) -> Iterator[str]:
    """Yield where a PostgreSQL is served, by TLS alone, believed by certificate and name."""
    folder.mkdir(mode=0o755)
    account, data, port = server_account(), folder / "data", free_port()
    password, key = folder / "password", folder / "server.key"
    for path, text in ((password, secrets.token_urlsafe(16)), (key, vouched.key.read_text())):
        path.touch(mode=0o600)
        path.write_text(text)
    data.mkdir(mode=0o700)
    if account is not None:
        for path in (password, key, data):
            os.chown(path, account.uid, account.gid)
    bin_folder = programs()[1]
    subprocess.run(
        [bin_folder / "initdb", "-D", data, "-U", "owner", "-A", "scram-sha-256",
         "--pwfile", password, "-E", "UTF8", "--locale", "C"],
        check=True, capture_output=True, cwd="/", **as_account(account),
    )  # fmt: skip
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    options = {
        "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "",
        "ssl": "on", "ssl_cert_file": str(vouched.certificate), "ssl_key_file": str(key),
    }  # fmt: skip
    argv = [str(bin_folder / "postgres"), "-D", str(data)]
    argv += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    url = (
        f"postgresql://owner:{password.read_text()}@{NAME}:{port}/postgres"
        f"?sslmode=verify-full&sslrootcert={vouched.ca}"
    )

    def answers() -> bool:
        psycopg.connect(url, connect_timeout=2).close()
        return True

    with _running(argv, folder / "log", answers, **as_account(account)):
        yield url


@contextmanager
def _running(
    argv: Sequence[str], log: Path, answers: Callable[[], bool], **account: object
) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, cwd="/", **account)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + READY_S_MAX
        while not _true(answers):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _true(answers: Callable[[], bool]) -> bool:
    try:
        return answers()
    except (redis.RedisError, psycopg.OperationalError):
        return False


def as_user(url: str, user: str) -> str:
    """Return the same place as another user, who has a password of its own."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{user}@{rest.partition('@')[2]}"


def with_settings(url: str, **settings: str) -> str:
    """Return the same place with other settings of the connection."""
    place, _, said = url.partition("?")
    known: Mapping[str, str] = dict(pair.split("=", 1) for pair in said.split("&"))
    return f"{place}?{'&'.join(f'{name}={value}' for name, value in {**known, **settings}.items())}"
