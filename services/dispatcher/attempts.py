"""One attempt: the right to write one paying request, and the clock that ends it."""

import secrets

import msgspec

from shared.bus.reader import Entry
from shared.contracts.events import TopupRequested, decode_request
from shared.runtime.clock import Clock
from shared.runtime.crashpoints import CrashPoint


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """A topup as a provider's adapter sees it, and where on its lane it came from."""

    topup_id: str
    phone: str
    country: str
    amount_minor: int
    currency: str
    product: str
    key_hash: str
    accepted_at_ms: int
    entry: Entry


def read_sale(entry: Entry) -> Sale:
    """Read a lane entry.

    Raises:
        KeyError, ValueError, msgspec.DecodeError: the entry is something else; bury it.
    """
    request: TopupRequested = decode_request(entry.fields["body"])
    return Sale(
        topup_id=entry.fields["id"].decode(),
        phone=request.phone,
        country=request.country,
        amount_minor=request.amount_minor,
        currency=request.currency,
        product=request.product,
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
