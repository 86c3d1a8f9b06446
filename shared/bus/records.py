"""Records and lanes as Redis has them."""

from collections.abc import Mapping, Sequence

import msgspec

from shared.contracts.events import TopupRequested, decode_request
from shared.contracts.states import State


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One topup as Redis has it."""

    id: str
    state: State
    lane: str
    request: TopupRequested
    key_hash: str
    accepted_at_ms: int
    settled_at_ms: int | None
    reason: str | None
    provider_reference: str | None
    attempt: int
    seq: int
    doubt: str
    quarantine_until_ms: int


class LaneState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a lane is open, held or probing; times are milliseconds since the epoch."""

    state: str = "open"
    reason: str | None = None
    by: str | None = None
    since: float | None = None
    until: float | None = None
    probe: str | None = None
    probe_until: float | None = None
    holds: int = 0

    def startable(self, now_ms: int) -> bool:
        """Tell whether anything may start: the lane is open, or due for its one probe."""
        match self.state:
            case "open":
                return True
            case "held":
                return self.until is not None and self.until <= now_ms
            case _:
                return self.probe_until is not None and self.probe_until <= now_ms


def read_record(topup_id: str, flat: Sequence[bytes]) -> Record | None:
    """Return a record as Redis keeps it, names and values in turn; None where there is none."""
    if not flat:
        return None
    found: Mapping[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
    return Record(
        id=topup_id,
        state=State(text(found[b"state"])),
        lane=text(found[b"lane"]),
        request=decode_request(found[b"body"]),
        key_hash=text(found.get(b"key", b"")),
        accepted_at_ms=int(found[b"accepted_at"]),
        settled_at_ms=whole(found.get(b"settled_at")),
        reason=text(found.get(b"reason", b"")) or None,
        provider_reference=text(found.get(b"outcome", b"")) or None,
        attempt=int(found.get(b"attempt", 0)),
        seq=int(found[b"seq"]),
        doubt=text(found.get(b"doubt", b"")),
        quarantine_until_ms=int(found.get(b"quarantine_until", 0)),
    )


def text(value: bytes) -> str:
    """Return what Redis gave as text."""
    return value.decode()


def whole(value: bytes | None) -> int | None:
    """Return what Redis gave as a number, if it gave anything."""
    return int(value) if value else None
