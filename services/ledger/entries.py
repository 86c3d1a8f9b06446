"""From a stream entry's bytes to a request or an outcome, or a named refusal of them."""

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

from shared.contracts.bookable import unbookable, unbookable_id
from shared.contracts.errors import TopupError
from shared.contracts.events import (
    Evidence,
    TopupRequested,
    decode_evidence,
    decode_request,
)
from shared.contracts.packing import unpack
from shared.contracts.states import SETTLED, State
from shared.contracts.tries import decode_tries

_NUMBER: Final = re.compile(rb"[0-9]{1,15}")
_AT_MS_MAX: Final = 253_402_300_799_999  # the end of the year 9999
_SEQ_MAX: Final = 2
_REQUESTS_MAX: Final = 4_096  # kept for the outcomes that carry them again


class Unreadable(TopupError):
    """Nobody can book this entry; copy it to the dead stream with the reason, and go on."""

    code = "unreadable"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; both kinds of entry bring it. `digest` tells two contents apart."""

    topup_id: str
    body: TopupRequested
    raw: bytes
    accepted_at_ms: int
    digest: bytes


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it, as outcome number `seq`."""

    request: Request
    seq: int
    state: State
    reason: str | None
    evidence: Evidence | None
    raw_evidence: bytes
    raw_tries: bytes  # of the attempts before the one that settled it
    settled_at_ms: int
    entry: str
    digest: bytes
    provider: str | None = None  # of AUTO: whose outcome this is, if anybody knows


Fields = Mapping[str, bytes]


def read_request(entry: str, fields: Fields) -> Request:
    """Return the request in the entry of a lane with this id, which is when it was accepted.

    Only an entry that follows an earlier one of the same topup has that time as a field.

    Raises:
        Unreadable: a field is missing or is not what it should be.
    """
    at = fields.get("at", entry.partition("-")[0].encode())
    return _request(_field(fields, "id"), _field(fields, "body"), at)


@lru_cache(maxsize=_REQUESTS_MAX)
def _request(topup_id: bytes, raw: bytes, at: bytes) -> Request:
    """Read it; an outcome carries it again, most often soon after its lane brought it."""
    try:
        body = decode_request(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise Unreadable(f"body is not a request: {problem}") from None
    wrong = unbookable(body)
    if wrong:
        raise Unreadable(wrong)
    at_ms = number_in({"at": at}, "at", maximum=_AT_MS_MAX)
    return Request(
        topup_id=uuid_in({"id": topup_id}, "id"),
        body=body,
        raw=raw,
        accepted_at_ms=at_ms,
        digest=request_digest(raw, at_ms),
    )


def read_outcome(entry: str, fields: Fields) -> Outcome:
    """Return the outcome in the entry with this id.

    Raises:
        Unreadable: as `read_request`.
    """
    state = text_in(fields, "state")
    if state not in SETTLED:
        raise Unreadable(f"state {state[:32]!r} is not one of {', '.join(sorted(SETTLED))}")
    seq = number_in(fields, "seq", maximum=_SEQ_MAX)
    if seq < 1 or (seq > 1 and state == State.UNRESOLVED):
        raise Unreadable(f"{state} cannot be outcome number {seq}")
    settled_at_ms = int(entry.partition("-")[0])
    if settled_at_ms > _AT_MS_MAX:
        raise Unreadable(f"entry {entry} is of no time that can be booked")
    reason, raw_evidence = text_in(fields, "reason"), _unpacked(_field(fields, "evidence"))
    raw_tries = _tries(fields.get("tried", b""))
    request = _request(*(_field(fields, name) for name in ("id", "body", "at")))
    provider = _provider(fields, request.body)
    return Outcome(
        request=request,
        seq=seq,
        state=State(state),
        reason=plain(reason) or None,
        evidence=_evidence(raw_evidence),
        raw_evidence=raw_evidence,
        raw_tries=raw_tries,
        settled_at_ms=settled_at_ms,
        entry=entry,
        digest=outcome_digest(state, reason, raw_evidence, raw_tries, (provider or "").encode()),
        provider=provider,
    )


def request_digest(raw: bytes, at_ms: int) -> bytes:
    """Return what tells one request from another for the same topup."""
    return _digest(raw, b"%d" % at_ms)


def outcome_digest(
    state: str, reason: str, raw_evidence: bytes, raw_tries: bytes, provider: bytes
) -> bytes:
    """Return what tells one outcome from another in the same place."""
    more = [raw_tries, provider] if provider else [raw_tries] if raw_tries else []
    return _digest(state.encode(), reason.encode(), raw_evidence, *more)


def plain(text: str) -> str:
    """Return text that the database takes: NUL is the one character that it refuses."""
    return text.replace("\x00", "\ufffd")


def _provider(fields: Fields, body: TopupRequested) -> str | None:
    if "provider" not in fields:
        return None
    provider = text_in(fields, "provider")
    if provider not in (body.route or {}):
        raise Unreadable(f"provider {provider[:32]!r} is none of its route")
    return provider


def _unpacked(packed: bytes) -> bytes:
    try:
        return unpack(packed)
    except ValueError as problem:
        raise Unreadable(f"evidence cannot be read: {problem}") from None


def _evidence(raw: bytes) -> Evidence | None:
    if not raw:
        return None
    try:
        return decode_evidence(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise Unreadable(f"evidence cannot be read: {problem}") from None


def _tries(raw: bytes) -> bytes:
    try:
        decode_tries(raw)
    except (ValueError, msgspec.MsgspecError, RecursionError) as problem:
        raise Unreadable(f"tried cannot be read: {problem}") from None
    return raw


def _field(fields: Fields, name: str) -> bytes:
    if name not in fields:
        raise Unreadable(f"field {name} is missing")
    return fields[name]


def uuid_in(fields: Fields, name: str) -> str:
    """Return the field's id; raises Unreadable, as those below do."""
    value = text_in(fields, name)
    wrong = unbookable_id(value)
    if wrong:
        raise Unreadable(wrong)
    return value


def text_in(fields: Fields, name: str) -> str:
    """Return the field's text."""
    try:
        return _field(fields, name).decode()
    except UnicodeDecodeError:
        raise Unreadable(f"field {name} is not text") from None


def number_in(fields: Fields, name: str, *, maximum: int) -> int:
    """Return the field's whole number, from 0 on."""
    value = _field(fields, name)
    if not _NUMBER.fullmatch(value) or int(value) > maximum:
        raise Unreadable(f"field {name} is {value[:32]!r}, not a number up to {maximum}")
    return int(value)


def _digest(*parts: bytes) -> bytes:
    framed = b"".join([b"%d:%b" % (len(part), part) for part in parts])
    return blake2b(framed, digest_size=16).digest()
