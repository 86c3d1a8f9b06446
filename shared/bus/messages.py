"""What goes into the stream functions, and what comes out: one struct for each kind of item."""

import msgspec

from shared.contracts.events import TopupRequested
from shared.contracts.states import State


class ItemFailed(msgspec.Struct, frozen=True):
    """One item of a batch failed by itself; nothing is known to be wrong with the others."""

    text: str


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """A topup to accept; `key_hash` is empty where the merchant gave no key.

    `route` is empty, or all the lanes that may have it, in their order, its first one in front.
    """

    id: str
    fingerprint: str
    key_hash: str
    body: bytes
    route: tuple[str, ...] = ()


class Accepted(msgspec.Struct, frozen=True, array_like=True):
    """`accepted`, `replayed` or `mismatch`; the id is that of the first accept."""

    status: str
    id: str
    accepted_at_ms: int | None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A delivered lane entry for which an attempt is to begin under a new nonce."""

    id: str
    entry: str
    key_hash: str
    nonce: str
    route: tuple[str, ...] = ()


class Begun(msgspec.Struct, frozen=True):
    """The answer to `begin`; `after_ms` is the lease granted, or when to ask again.

    `sent` is the attempt of the last send: this one, or what a question is about.
    """

    status: str
    after_ms: int = 0
    attempt: int = 0
    sent: int = 0


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a lane's provider is, as far as the functions care."""

    kind: str  # neither, inquiry, dedupes, dedupes+inquiry
    lease_ms: int
    quarantine_ms: int
    dedupe_window_ms: int
    refusal_covers: bool
    hold_ms: int  # how long the lane is first held by itself; each time in a row twice as long
    breaker: int  # failures in a row that hold it; 0: never

    @property
    def hold(self) -> str:
        """The last two as one argument: an older library would not know another one."""
        return f"{self.hold_ms} {self.breaker}"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt settles its topup."""

    id: str
    key_hash: str
    nonce: str
    to: State
    reason: str
    provider_reference: str
    evidence: bytes


class Parking(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that will be tried again, or asked about, later."""

    id: str
    key_hash: str
    nonce: str
    delay_ms: int
    why: str  # no, not_sent, unasked, unknown, not_found, hold
    reason: str
    said: bytes = b""  # what the attempt found out, as `shared.contracts.tries` writes it
    lane_reason: str = ""  # what people read of the lane if this holds it, where not `reason`


class Handing(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that ended with a definite no, whose topup another lane of the route may have."""

    id: str
    key_hash: str
    nonce: str
    why: str  # refused, no, not_sent, hold
    reason: str
    said: bytes  # as in Parking
    route: tuple[str, ...]


class Restoring(msgspec.Struct, frozen=True, kw_only=True):
    """A topup whose record is lost, or older than what is known of it.

    `seq` is the number of the outcome that is in the books; 0: none is, and this one is published.
    `body` is the request as it came: with any other byte it would contradict what is booked.
    """

    id: str
    request: TopupRequested
    body: bytes = b""  # empty: as we write it
    accepted_at_ms: int
    seq: int
    to: State
    reason: str
    provider_reference: str
    evidence: bytes
    settled_at_ms: int
    window_ms: int
