"""The contract between dispatcher and provider: what an adapter promises, and what it says."""

from typing import Literal, Protocol

import msgspec

Kind = Literal["final", "number", "retry", "hold"]


class Delivered(msgspec.Struct, frozen=True, tag=True):
    """The provider says that the airtime arrived; true from anyone, at any time."""

    provider_reference: str
    raw: str


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The provider says a definite no, in its own words.

    `number`: as final, and no other provider can do better: the number is none, or barred.
    `hold`: our account with the provider is the problem; the topup is as good as any other.
    """

    reason: str
    code: str
    kind: Kind
    raw: str


class NotSent(msgspec.Struct, frozen=True, tag=True):
    """No byte of the paying request can have arrived."""

    reason: str


class Unknown(msgspec.Struct, frozen=True, tag=True):
    """Anything else, always when in doubt: it may have paid."""

    reason: str
    raw: str = ""


class NotFound(msgspec.Struct, frozen=True, tag=True):
    """Asked by our reference, the provider has never heard of it; counts only after quarantine."""

    raw: str = ""


Answer = Delivered | Refused | NotSent | Unknown | NotFound


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is, as far as money depends on it."""

    name: str
    dedupes_on_reference: bool = False
    dedupe_window_ms: int | None = None
    inquiry: bool = False
    reference_per_attempt: bool = False  # `<id>-<attempt>`: what is said of it is of that attempt
    visible_after_ms: int | None = None  # None: its "never heard of it" is never believed
    refusal_covers: bool = False
    connect_timeout_ms: int
    login_timeout_ms: int
    answer_timeout_ms: int


class Sale(Protocol):
    """What an adapter needs of a topup."""

    @property
    def topup_id(self) -> str: ...
    @property
    def phone(self) -> str: ...
    @property
    def country(self) -> str: ...
    @property
    def amount_minor(self) -> int: ...
    @property
    def currency(self) -> str: ...
    @property
    def product(self) -> str: ...


class Attempt(Protocol):
    """The right to write one paying request."""

    @property
    def reference(self) -> str: ...
    @property
    def number(self) -> int: ...

    def may_send(self) -> bool:
        """To be asked directly before each write of a paying request; False: write nothing."""
        ...

    def was_sent(self) -> None:
        """To be told once the request has been handed to the kernel."""
        ...


class Provider(Protocol):
    """One provider's wire."""

    @property
    def facts(self) -> Facts: ...

    async def send(self, sale: Sale, attempt: Attempt) -> Answer:
        """Make one paying request, once on the wire."""
        ...

    async def inquire(self, sale: Sale, reference: str) -> Answer:
        """Ask what became of the send that went out under this reference of ours."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
