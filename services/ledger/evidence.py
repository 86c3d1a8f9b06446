"""The evidence of one sale as a file that a stranger can verify: a zip with a signed manifest.

`MANIFEST` has the SHA-256 of each other file in the form of sha256sum, `MANIFEST.sig` the Ed25519
signature of its bytes, `public.pem` the key to check it with.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from services.ledger.audit import Check
from services.ledger.excerpt import FOLLOWED, Excerpt, wrong_links
from services.ledger.rules import HOLD, POSTINGS
from shared.contracts.errors import TopupError
from shared.contracts.instants import timestamp
from shared.contracts.states import State
from shared.contracts.stories import Dossier

VERSION: Final = 2
BYTES_MAX: Final = 4 * 1024 * 1024
MANIFEST: Final = "MANIFEST"
SIGNATURE: Final = "MANIFEST.sig"
PUBLIC_KEY: Final = "public.pem"
_LISTED: Final = (
    "README",
    "statement.json",
    "topup.json",
    "outcomes.json",
    "postings.json",
    "audit.json",
)
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # a zip knows nothing earlier
_README: Final = f"""\
What became of one top-up, from the books of who signed this.

  sha256sum -c MANIFEST
  openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in MANIFEST -sigfile MANIFEST.sig
  {FOLLOWED}
  openssl pkey -pubin -in public.pem -outform DER | sha256sum

The last one prints the key's fingerprint: ask its owner for it, by another way than this file came.
statement.json says what this is, topup.json what was asked for, outcomes.json what became of it,
with each attempt and the provider's own (masked) answers, postings.json where the money went,
audit.json what people did about it: rows of a chain that only grows. A row's hash is SHA-256 over
the one before it and its content's SHA-256: of others' rows the digest will do. python3 follows it.
"""


class NotEvidence(TopupError):
    """The file is something else, or half of one; nothing can be said of it."""

    code = "not_evidence"


class Signer:
    """A private key, as PEM (PKCS 8) text of Ed25519."""

    def __init__(self, pem: str) -> None:
        """Raise ValueError where the text is no such key."""
        try:
            key = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(  # noqa: TRY004 - of the text, not of its type
                "is not an Ed25519 key in PEM; make one: openssl genpkey -algorithm ed25519"
            )
        self._key = key

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key's DER, as hex."""
        return fingerprint_of(self._key.public_key())

    def pack(self, told: Dossier, acts: Excerpt, *, made_at_ms: int) -> bytes:
        """Return the file."""
        files = dict(_files(told, acts, self, made_at_ms))
        files[PUBLIC_KEY] = self._key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        manifest = "".join(
            f"{sha256(content).hexdigest()}  {name}\n" for name, content in files.items()
        ).encode()
        files |= {MANIFEST: manifest, SIGNATURE: self._key.sign(manifest)}
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as packed:
            for name, content in files.items():
                packed.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
        return out.getvalue()


def draw_signing_key() -> str:
    """Return a new private key as PEM text."""
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode()
    )


def fingerprint_of(key: Ed25519PublicKey) -> str:
    """Return what the owner of a key publishes, as hex."""
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _files(
    told: Dossier, acts: Excerpt, signer: Signer, made_at_ms: int
) -> Iterator[tuple[str, bytes]]:
    statement = {
        "topup_evidence": VERSION,
        "topup_id": told.topup.topup_id,
        "made_at": timestamp(made_at_ms),
        "key_sha256": signer.fingerprint,
        "entries_set_aside": told.set_aside,
        "audit_head": str(acts.head),
    }
    yield "README", _README.encode()
    yield "statement.json", _json(statement)
    yield "topup.json", _json(told.topup)
    yield "outcomes.json", _json(told.outcomes)
    yield "postings.json", _json(told.postings)
    yield "audit.json", _json(msgspec.to_builtins(acts))


def _json(content: object) -> bytes:
    plain = msgspec.to_builtins(content, str_keys=True)
    return msgspec.json.format(msgspec.json.encode(_named(plain, content)), indent=2) + b"\n"


def _named(plain: Any, content: object) -> Any:  # noqa: ANN401 - any JSON
    """Write what travels as arrays with the names of its fields: a stranger reads it."""
    if isinstance(content, msgspec.Struct):
        return {name: _named(None, getattr(content, name)) for name in content.__struct_fields__}
    if isinstance(content, list):
        return [_named(None, one) for one in content]
    return content if plain is None else plain


# -- verifying -------------------------------------------------------------------------------


class Verified(msgspec.Struct, frozen=True):
    """Each promise with what breaks it, and whose signature it is."""

    topup_id: str
    made_at: str
    fingerprint: str
    checks: list[Check]


def verify(data: bytes) -> Verified:
    """Check a file by itself: no server and no setting is needed.

    Raises:
        NotEvidence: it is none.
    """
    files = _unpacked(data)
    key = _public_key(files[PUBLIC_KEY])
    try:
        statement = msgspec.json.decode(files["statement.json"], type=_Statement)
        topup = msgspec.json.decode(files["topup.json"], type=_Topup)
        outcomes = msgspec.json.decode(files["outcomes.json"], type=list[_Outcome])
        postings = msgspec.json.decode(files["postings.json"], type=list[_Posting])
        acts = msgspec.json.decode(files["audit.json"], type=Excerpt)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise NotEvidence(f"its content cannot be read: {problem}") from None
    fingerprint = fingerprint_of(key)
    checks = [
        _check("every file is the one that was signed", _altered(files)),
        _check("the signature is that of the key in it", _forged(files, key)),
        _check(
            "the statement is about this topup, this key and this head",
            statement.not_about(topup.topup_id, fingerprint, str(acts.head)),
        ),
        _check("the money went where the outcomes say", _misplaced(topup, outcomes, postings)),
        _check("the acts follow one another up to the head", wrong_links(acts, topup.topup_id)),
    ]
    return Verified(topup.topup_id, statement.made_at, fingerprint, checks)


class _Statement(msgspec.Struct):
    topup_evidence: int
    topup_id: str
    made_at: str
    key_sha256: str
    audit_head: str

    def not_about(self, *these: str) -> list[str]:
        said = (self.topup_id, self.key_sha256, self.audit_head)
        return [] if said == these else ["statement.json"]


class _Topup(msgspec.Struct):
    topup_id: str
    amount_minor: int
    currency: str
    status: str


class _Outcome(msgspec.Struct):
    seq: int
    state: State


class _Posting(msgspec.Struct):
    seq: int
    line: int
    debit: str
    credit: str
    currency: str
    amount_minor: int


def _unpacked(data: bytes) -> Mapping[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            infos = packed.infolist()
            _check_contents(infos)
            return {info.filename: packed.read(info) for info in infos}
    except NotEvidence:
        raise
    except _BROKEN as problem:
        raise NotEvidence(f"it is no zip file, half of one, or damaged: {problem}") from None


_BROKEN: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, struct.error
)  # fmt: skip


def _check_contents(infos: list[zipfile.ZipInfo]) -> None:
    names = sorted(info.filename for info in infos)
    if names != sorted([*_LISTED, PUBLIC_KEY, MANIFEST, SIGNATURE]):
        raise NotEvidence("it is no evidence of topup: it holds other files")
    if sum(info.file_size for info in infos) > BYTES_MAX:
        raise NotEvidence(f"it holds more than {BYTES_MAX} bytes")


def _public_key(pem: bytes) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise NotEvidence(f"{PUBLIC_KEY} is no Ed25519 key")
    return key


def _altered(files: Mapping[str, bytes]) -> list[str]:
    """Return the names of files that the manifest does not have just so."""
    lines = files[MANIFEST].decode(errors="replace").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    names = {*listed, *_LISTED, PUBLIC_KEY}
    return sorted(
        name for name in names if sha256(files.get(name, b"")).hexdigest() != listed.get(name)
    )


def _forged(files: Mapping[str, bytes], key: Ed25519PublicKey) -> list[str]:
    try:
        key.verify(files[SIGNATURE], files[MANIFEST])
    except InvalidSignature:
        return [MANIFEST]
    return []


def _misplaced(topup: _Topup, outcomes: list[_Outcome], postings: list[_Posting]) -> list[str]:
    rules = {0: HOLD} | {one.seq: POSTINGS.get((one.seq, one.state), ()) for one in outcomes}
    due = {
        (seq, line, move.debit, move.credit, topup.currency, topup.amount_minor)
        for seq, moves in rules.items()
        for line, move in enumerate(moves, 1)
    }
    booked = {
        (one.seq, one.line, one.debit, one.credit, one.currency, one.amount_minor)
        for one in postings
    }
    last = max(outcomes, key=lambda one: one.seq).state if outcomes else State.QUEUED
    wrong = [f"posting {seq}.{line}" for seq, line, *_ in sorted(due ^ booked)]
    return wrong + ([] if topup.status == last else ["status"])


def _check(promise: str, broken: list[str]) -> Check:
    return Check(promise, len(broken), broken[0] if broken else None)
