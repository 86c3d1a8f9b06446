"""`python -m ops.compose FOLDER`: draws the secrets of deploy/compose.yaml, a folder each reader.

What is there stays: a file of yours that was laid there before is used instead.
"""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ops.supervisor.demo import Demo
from ops.supervisor.folder import write_private
from services.ledger.evidence import draw_signing_key
from services.ledger.logins import LEDGER_ROLE
from shared.contracts.access import ACCESS
from shared.contracts.keys import draw_key

_SANDBOX: Final = "sandbox"
_FIRST_DAY: Final = datetime(2020, 1, 1, tzinfo=UTC)
_LAST_DAY: Final = datetime(2120, 1, 1, tzinfo=UTC)


class Drawn(msgspec.Struct, frozen=True):
    """Every secret, once; written down before any file is made of it."""

    streams: str
    limits: str
    owner: str
    ledger: str
    login: str
    grafana: str
    admin_key: str
    api_key: str
    evidence_key: str
    certificate: str
    certificate_key: str
    session_key: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(32))


def draw(folder: Path, *, url: str) -> None:
    """Lay what is missing into the folder; safe to repeat, and to break off.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)  # below it, files are readable for all: who reads them is nobody we know
    kept = folder / "drawn.json"
    if not kept.exists():
        write_private(kept, msgspec.json.encode(_drawn()).decode())
    drawn = msgspec.json.decode(kept.read_bytes(), type=Drawn)
    for name, text in _files(
        drawn, Demo(url=url, api_key=drawn.api_key, admin_key=drawn.admin_key)
    ):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            write_private(path, text)
        if path.parent != folder:
            path.chmod(0o444)
    _give_back(folder)


def _files(drawn: Drawn, demo: Demo) -> Iterator[tuple[str, str]]:
    """Yield what each service reads, and nothing that it does not need."""
    redis_url = f"redis://:{drawn.streams}@valkey:6379/0"
    owner_url = f"postgresql://topup:{drawn.owner}@postgres:5432/topup"
    yield "valkey/users.acl", _users(drawn.streams)
    yield "valkey-limits/users.acl", _users(drawn.limits)
    yield "postgres/password", drawn.owner
    yield "grafana/password", drawn.grafana
    yield "migrate/database_url", owner_url
    yield "migrate/ledger_password", drawn.ledger
    yield "customer/database_url", owner_url
    yield "customer/redis_url", redis_url
    yield "customer/seed.json", demo.seed().decode()
    yield "gateway/redis_url", redis_url
    yield "gateway/admin_key", drawn.admin_key
    yield "gateway/session_key", drawn.session_key
    yield "ratelimiter/limiter_redis_url", f"redis://:{drawn.limits}@valkey-limits:6379/0"
    yield "ledger/redis_url", redis_url
    yield "ledger/database_url", f"postgresql://{LEDGER_ROLE}:{drawn.ledger}@postgres:5432/topup"
    yield "ledger/evidence_key", drawn.evidence_key
    yield "dispatcher/redis_url", redis_url
    yield "dispatcher/sandbox.pem", drawn.certificate
    for variable in ACCESS["LATCOM"].login:
        yield f"dispatcher/{variable.lower()}", drawn.login
    yield "sandbox/sandbox.pem", drawn.certificate_key + drawn.certificate
    yield "operator/redis_url", redis_url
    yield "operator/database_url", owner_url
    yield "operator/admin_key", drawn.admin_key
    yield "demo.env", demo.assignments()


def _drawn() -> Drawn:
    certificate, key = _self_signed(_SANDBOX)
    streams, limits, owner, ledger, login, grafana = (secrets.token_urlsafe(24) for _ in range(6))
    return Drawn(
        streams=streams,
        limits=limits,
        owner=owner,
        ledger=ledger,
        login=login,
        grafana=grafana,
        admin_key=f"admin_{secrets.token_urlsafe(30)}",
        api_key=draw_key(),
        evidence_key=draw_signing_key(),
        certificate=certificate,
        certificate_key=key,
    )


def _users(password: str) -> str:
    """Return the users of a Valkey: one who may all, and one who only sees that it answers."""
    digest = sha256(password.encode()).hexdigest()
    return f"user default on #{digest} ~* &* +@all\nuser health on nopass -@all +ping\n"


def _self_signed(host: str) -> tuple[str, str]:
    """Return a certificate that is good for this host alone, and its key, as PEM text."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FIRST_DAY)
        .not_valid_after(_LAST_DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), secret.decode()


def _give_back(folder: Path) -> None:
    """Let all of it belong to whom the folder above belongs, where that can be done."""
    owner = folder.parent.stat()
    with suppress(PermissionError):
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)


def main(words: list[str], environ: Mapping[str, str]) -> int:
    """Draw into the folder that the only word names; status 2 where there is none, 1 on a fault."""
    if len(words) != 1:
        sys.stderr.write("say which folder; for example: python -m ops.compose deploy/secrets\n")
        return 2
    try:
        draw(Path(words[0]), url=environ.get("TOPUP_URL") or "http://127.0.0.1:8080")
    except OSError as problem:
        sys.stderr.write(f"{problem.filename}: {problem.strerror}\n")
        return 1
    except msgspec.MsgspecError as problem:
        sys.stderr.write(f"{words[0]}/drawn.json: {problem}; remove {words[0]} to draw anew\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
