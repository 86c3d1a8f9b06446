"""One attempt: the right to write one paying request, and the clock that ends it."""

import secrets
from typing import Final

import msgspec

from shared.bus.reader import Entry
from shared.contracts.errors import TopupError
from shared.contracts.events import TopupRequested, decode_request
from shared.runtime.clock import Clock
from shared.runtime.crashpoints import CrashPoint

PROBLEM_CHARACTERS_MAX: Final = 200
ID_BYTES_MAX: Final = 64


class UnreadableEntry(TopupError):
    """Nobody can carry this entry; copy it to the dead stream with the reason, and go on."""

    code = "unreadable"


class Sold(msgspec.Struct, frozen=True, kw_only=True):
    """A topup as a provider's adapter sees it, and what its record is found by."""

    topup_id: str
    phone: str
    country: str
    amount_minor: int
    currency: str
    product: str
    key_hash: str


class Sale(Sold, frozen=True, kw_only=True):
    """One that is carried, and where on its lane it came from."""

    route: tuple[str, ...]
    accepted_at_ms: int
    entry: Entry


def read_sale(entry: Entry) -> Sale:
    """Read a lane entry.

    Raises:
        UnreadableEntry: the entry is something else; bury it.
    """
    try:
        return _sale(entry)
    except KeyError as problem:
        raise UnreadableEntry(f"field {problem} is missing") from None
    except (ValueError, msgspec.DecodeError, RecursionError) as problem:
        raise UnreadableEntry(str(problem)[:PROBLEM_CHARACTERS_MAX]) from None


def _sale(entry: Entry) -> Sale:
    request: TopupRequested = decode_request(entry.fields["body"])
    lane = entry.stream.rpartition(":")[2]
    if len(entry.fields["id"]) > ID_BYTES_MAX:
        raise ValueError(f"field id has over {ID_BYTES_MAX} bytes")
    return Sale(
        topup_id=entry.fields["id"].decode(),
        phone=request.phone,
        country=request.country,
        amount_minor=request.amount_minor,
        currency=request.currency,
        product=request.product if request.route is None else request.route[lane],
        route=tuple(request.route or ()),
        key_hash=request.key_hash,
        accepted_at_ms=int(entry.fields.get("at") or entry.id.partition("-")[0]),
        entry=entry,
    )


def new_nonce() -> str:
    """Return the 12 random bytes of one attempt, as 16 characters: it stays with the record."""
    return secrets.token_urlsafe(12)


class Right:
    """The right of one attempt to send; it ends with half of the lease.

    `asked_at` is on the monotonic clock, from before `begin` was sent.
    """

    def __init__(
        self,
        *,
        reference: str,
        number: int,
        asked_at: float,
        lease_ms: int,
        clock: Clock,
        crash: CrashPoint,
    ) -> None:
        self.reference = reference
        self.number = number
        self._ends = asked_at + lease_ms / 2_000
        self._clock = clock
        self._crash = crash

    def may_send(self) -> bool:
        """Look at the clock; to be asked directly before each write of a paying request."""
        if self._clock.monotonic() >= self._ends:
            return False
        self._crash("dispatcher.before_send")
        return True

    def was_sent(self) -> None:
        """Hear that the request has been handed to the kernel."""
        self._crash("dispatcher.after_send")
