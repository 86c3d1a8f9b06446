"""Records and lanes as Redis has them."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from shared.bus.messages import ItemFailed
from shared.contracts.errors import TopupError
from shared.contracts.events import TopupRequested, decode_request
from shared.contracts.states import SETTLED, Reason, State
from shared.contracts.tries import Tried, decode_tries

_REASONLESS: Final = frozenset({State.QUEUED, State.ACTIVE})
"""While nothing holds a topup up, an earlier attempt's reason would only confuse."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One topup as Redis has it; `docs/protocol-functions.md` says what each field means."""

    id: str
    state: State
    lane: str
    request: TopupRequested
    accepted_at_ms: int
    settled_at_ms: int | None
    reason: str | None
    provider_reference: str | None
    attempt: int
    sent: int = 0  # the attempt that was sent last; a question is about it
    seq: int
    doubt: str
    quarantine_until_ms: int
    entry: str | None = None
    owner: str | None = None
    mode: str | None = None
    lease_until_ms: int | None = None
    deliver_before_ms: int | None = None
    first_send_at_ms: int | None = None
    due_ms: int | None = None
    tried: list[Tried] = []
    route: tuple[str, ...] = ()  # with AUTO, the lanes that may have it after this one

    @property
    def sold_by(self) -> tuple[str, str]:
        """Return the provider and the product to tell."""
        return self.request.sold_by(self.lane, settled=self.state in SETTLED)

    def seen(self, lane: "LaneState", now_ms: int) -> "Seen":
        """Return what to tell of it; what queues on a held lane waits for that."""
        held = lane.state != "open" and (self.due_ms or 0) <= (lane.until or math.inf)
        if self.state is State.QUEUED and held:
            return Seen(State.WAITING, Reason.LANE_HELD.value, self._expected(lane.until, now_ms))
        if self.state is not State.WAITING:
            return Seen(self.state, None if self.state in _REASONLESS else self.reason)
        if held:
            return Seen(self.state, Reason.LANE_HELD.value, self._expected(lane.until, now_ms))
        return Seen(self.state, self.reason, self._expected(self.due_ms, now_ms))

    def _expected(self, at_ms: float | None, now_ms: int) -> int | None:
        """Return when it goes on, if that is known and still to come; or ends, unsent, before."""
        if at_ms is None or at_ms <= now_ms:
            return None
        ends_ms = math.inf if self.doubt else self.deliver_before_ms or math.inf
        return int(min(at_ms, max(ends_ms, now_ms)))


class Seen(msgspec.Struct, frozen=True):
    """What merchants are told of an open topup; `expected_at_ms` is when it goes on, if known."""

    state: State
    reason: str | None = None
    expected_at_ms: int | None = None


class LaneState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a lane is open, held or probing; times are milliseconds since the epoch."""

    state: str = "open"
    reason: str | None = None
    by: str | None = None
    since: float | None = None
    until: float | None = None
    probe: str | None = None
    probe_until: float | None = None
    holds: int = 0  # by itself, in a row; 0: by people
    failures: int = 0  # without an answer in a row

    def startable(self, now_ms: int) -> bool:
        """Tell whether anything may start: the lane is open, or due for its one probe."""
        match self.state:
            case "open":
                return True
            case "held":
                return self.until is not None and self.until <= now_ms
            case _:
                return self.probe_until is not None and self.probe_until <= now_ms


class UnreadableRecord(TopupError):
    """The record is damaged, or newer than this code; leave it to code that can read it."""

    code = "unavailable"


def read_record(topup_id: str, flat: Sequence[bytes]) -> Record | None:
    """Return a record as Redis keeps it, names and values in turn; None where there is none.

    Raises:
        UnreadableRecord: a field is missing, or is not what it should be.
    """
    if not flat:
        return None
    try:
        return _record(topup_id, flat)
    except KeyError as problem:
        raise UnreadableRecord(f"the record's field {problem} is missing") from None
    except (ValueError, msgspec.MsgspecError, RecursionError) as problem:
        raise UnreadableRecord(f"the record cannot be read: {str(problem)[:200]}") from None


def _record(topup_id: str, flat: Sequence[bytes]) -> Record:
    found: Mapping[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
    request = decode_request(found[b"body"])
    return Record(
        id=topup_id,
        state=State(text(found[b"state"])),
        lane=text(found.get(b"lane", b"")) or request.provider,
        request=request,
        accepted_at_ms=int(found[b"at"]),
        settled_at_ms=whole(found.get(b"end")),
        reason=text(found.get(b"reason", b"")) or None,
        provider_reference=text(found.get(b"ref", b"")) or None,
        attempt=int(found.get(b"attempt", 0)),
        sent=int(found.get(b"sent", 0)),
        seq=int(found[b"seq"]),
        doubt=text(found.get(b"doubt", b"")),
        quarantine_until_ms=int(found.get(b"quarantine_until", 0)),
        entry=text(found.get(b"entry", b"")) or None,
        owner=text(found.get(b"owner", b"")) or None,
        mode=text(found.get(b"mode", b"")) or None,
        lease_until_ms=whole(found.get(b"lease_until")),
        deliver_before_ms=whole(found.get(b"deliver_before")),
        first_send_at_ms=whole(found.get(b"first_send_at")),
        due_ms=whole(found.get(b"due")),
        tried=decode_tries(found.get(b"tried", b"")),
        route=tuple(filter(None, text(found.get(b"route", b"")).split(","))),
    )


def read_or_fail(topup_id: str, flat: Sequence[bytes]) -> Record | ItemFailed | None:
    """Return the record, or what is wrong with it: of a batch it fails alone."""
    try:
        return read_record(topup_id, flat)
    except UnreadableRecord as problem:
        return ItemFailed(str(problem))


def text(value: bytes) -> str:
    """Return what Redis gave as text."""
    return value.decode()


def whole(value: bytes | None) -> int | None:
    """Return what Redis gave as a number, if it gave anything."""
    return int(value) if value else None


def place(entry: str) -> tuple[int, int]:
    """Return what the ids of a stream's entries are ordered by."""
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence)
