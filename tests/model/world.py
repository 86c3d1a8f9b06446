"""All that one topup's fate depends on, as one value: servers, dispatchers, wire, provider, people.

Time is counted in ticks of half a lease. A world is thawed from a frozen tuple, changed by one step
and frozen again; frozen worlds that differ only in names or in what nobody reads again are equal.
"""

from functools import cache
from typing import Any, Final

import msgspec

from tests.model.functions import CLOSED, FINAL, MANY, NEVER, Record, Server, Terms

LEASE: Final = 2
RIGHT: Final = 1
"""Half of the lease: for so long an owner may still look and go on to write."""
STALL: Final = 1
"""A process stopped for longer dies before its next instruction."""
FLIGHT: Final = 1
"""TCP_USER_TIMEOUT: no byte arrives later than this after it was written."""
VISIBLE_AFTER: Final = 1
"""For so long a provider that has paid may still say that it has never heard of it."""
LONG_AGO: Final = -5
"""No window is longer."""
FUTURE: Final = 99
OWNERS: Final = ("A", "B")
FORMER: Final = "former"
"""Whoever has died: another owner than its successor."""


class Provider(msgspec.Struct, frozen=True):
    """One kind of provider, and what the operator of ours has set."""

    kind: str
    covers: bool = False
    resend: bool = True
    replicated: bool = False
    window: int = 5
    """For so long after it paid a provider that dedupes knows the reference again."""
    few_faults: bool = False
    auto: bool = False
    """Two of the kind: a topup that both may have, and an operator who holds the first lane."""
    deaths: int = 0
    """So many owners die, or are silent while they live; 0 is no bound."""
    holds: int = 0
    """So often the operator holds the first lane; 0 is no bound."""
    unbounded_pause: bool = False
    """A snapshot of the virtual machine: no timer goes on while a process is stopped."""


class Owner(msgspec.Struct):
    """One dispatcher's hands: at most one task for this topup."""

    phase: str = "idle"  # idle, held, begin, may, looked, sent, ask, end, kept
    entry: str = ""
    nonce: str = ""
    mode: str = ""
    reply: str = ""  # of begin, on its way back
    again: bool = False  # begin was repeated on another connection
    right_until: int = 0
    stall_until: int = 0
    answer: str = ""  # finish:<state> or park:<why>


class Book(msgspec.Struct):
    """The provider's side."""

    paid: int = 0
    paid_at: int = 0
    refused: bool = False


@cache
def terms_of(provider: Provider, off: frozenset[str]) -> Terms:
    """Return the lengths that follow from what the provider is."""
    flight = 0 if "window_outlasts_the_flight" in off else FLIGHT
    late = (0 if "quarantine_outlasts_the_flight" in off else FLIGHT) + (
        0 if "quarantine_outlasts_invisibility" in off else VISIBLE_AFTER
    )
    return Terms(provider.kind, LEASE, late, provider.window - flight, provider.covers, edge=1)


class World:
    """Everything, thawed."""

    def __init__(self, provider: Provider, off: frozenset[str]) -> None:
        self.provider = provider
        self.off = off
        self.server = Server(terms_of(provider, off), off)
        self.owners = {name: Owner() for name in OWNERS}
        self.wire: list[tuple[str, int]] = []
        """(nonce, arrives until) of each request that is under way."""
        self.book = Book()
        self.other = Book()
        """That of the second provider."""
        self.operator = ""
        """What the operator was told: '', paid, early_no or late_no."""
        self.listed = False
        """Somebody read it as due and has not yet woken it."""
        self.promised = not provider.replicated
        """The merchant has its 202."""
        self.replica: Any = None
        """What the replica has, where it lags behind: (record, entries, due, told)."""
        self.failed_over = False
        self.heard = False
        """With replicas: a dispatcher has heard delivered, and has forgotten it."""
        self.ledger = ""
        """The last state that Postgres was told."""
        self.left = (provider.deaths, provider.holds)
        """How many deaths and holds are still to come, where they are bounded."""
        self.wrong = ""
        """A promise that the last step broke."""

    @classmethod
    def first(cls, provider: Provider, off: frozenset[str]) -> "World":
        """Return the world after one topup was accepted; before it, where replicas matter."""
        world = cls(provider, off)
        if not provider.replicated:
            world.server.accept("e1", FUTURE, route="2" if provider.auto else "")
        return world

    @property
    def too_late(self) -> int:
        """A right that ended before this is like any that ended earlier."""
        return -1 if self.keeps("half_of_the_lease") else -1 - RIGHT

    def keeps(self, rule: str) -> bool:
        """Tell whether the rule holds."""
        return rule not in self.off

    @property
    def record(self) -> Record | None:
        """The topup's record."""
        return self.server.record

    @property
    def second(self) -> bool:
        """The second lane has the topup."""
        return self.record is not None and self.record.lane == "2"

    def book_of(self, nonce: str) -> Book:
        """Return the book of the provider that an attempt is sent to."""
        return self.other if nonce[:1] == "m" else self.book

    def note(self, nonce: str, book: Book) -> None:
        """Set it."""
        if nonce[:1] == "m":
            self.other = book
        else:
            self.book = book

    @property
    def shows(self) -> bool:
        """The provider has paid and says so to whoever asks."""
        book = self.other if self.second else self.book
        return bool(book.paid) and self.server.now >= book.paid_at + VISIBLE_AFTER

    def fresh_entry(self) -> str:
        """Return a new entry of the lane that has it."""
        return self.fresh("f" if self.second else "e")

    def onward(self) -> str:
        """Return a new entry of the other lane."""
        return self.fresh("e" if self.second else "f")

    def fresh(self, letter: str) -> str:
        """Return a name that nothing has."""
        used = {self.record.nonce, self.record.entry} if self.record else set()
        used |= set(self.server.entries) | {nonce for nonce, _ in self.wire}
        if self.record:
            used.add(self.record.doubt)
        for owner in self.owners.values():
            used |= {owner.nonce, owner.entry}
        if self.replica:
            record, entries, _, _ = self.replica
            used |= {entry for entry, _ in entries}
            used |= {record[1], record[3], record[8]} if record else set()
        number = 1
        while f"{letter}{number}" in used:
            number += 1
        return f"{letter}{number}"

    # -- frozen ----------------------------------------------------------------------------------

    def data(self) -> Any:
        """Return what a failover may undo, as a value of this moment."""
        server = self.server
        record = None if server.record is None else msgspec.structs.astuple(server.record)
        return record, tuple(sorted(server.entries.items())), server.due, server.told

    def restore(self, data: Any) -> None:
        """Go back to such a value."""
        record, entries, self.server.due, self.server.told = data
        self.server.record = None if record is None else Record(*record)
        self.server.entries = dict(entries)

    def freeze(self) -> tuple[Any, ...]:
        """Return this world as a value whose names mean what they mean to a reader."""
        self._shift(self.server.now)
        return (
            self.data(),
            tuple(msgspec.structs.astuple(owner) for owner in self.owners.values()),
            tuple(sorted(self.wire)),
            msgspec.structs.astuple(self.book),
            (
                self.operator,
                self.listed,
                self.promised,
                self.failed_over,
                self.ledger,
                self.heard,
                self.server.held,
                msgspec.structs.astuple(self.other),
                self.left,
            ),
            self.replica,
        )

    @classmethod
    def thaw(cls, provider: Provider, off: frozenset[str], frozen: tuple[Any, ...]) -> "World":
        """Return the world of this value, with its clock at 0."""
        world = cls(provider, off)
        data, owners, wire, book, rest, world.replica = frozen
        world.restore(data)
        for name, owner in zip(OWNERS, owners, strict=True):
            world.owners[name] = Owner(*owner)
        world.wire = list(wire)
        world.book = Book(*book)
        world.operator, world.listed, world.promised, *rest = rest
        world.failed_over, world.ledger, world.heard, world.server.held, other, world.left = rest
        world.other = Book(*other)
        return world

    def _shift(self, by: int) -> None:
        """Set the clock to 0; what is past is past, however long."""
        server = self.server
        server.now = 0
        if server.record is not None:
            if "dedupes" not in self.provider.kind:
                server.record.first_send_at = NEVER
            _shift_record(server.record, by)
        if server.due is not None:
            server.due = max(server.due - by, 0)
        if self.replica and by:
            record, entries, due, told = self.replica
            if record is not None:
                shifted = Record(*record)
                _shift_record(shifted, by)
                record = msgspec.structs.astuple(shifted)
            self.replica = (record, entries, None if due is None else max(due - by, 0), told)
        for owner in self.owners.values():
            counts = owner.phase in ("begin", "may", "looked", "sent")
            owner.right_until = max(owner.right_until - by, self.too_late) if counts else 0
            owner.stall_until = max(owner.stall_until - by, 0) if owner.phase == "looked" else 0
        self.wire = [(nonce, max(until - by, 0)) for nonce, until in self.wire]
        remembered = self.provider.window if "dedupes" in self.provider.kind else VISIBLE_AFTER
        for book in (self.book, self.other):
            book.paid_at = max(book.paid_at - by, -remembered) if book.paid else 0

    # -- what must always hold -------------------------------------------------------------------

    def broken(self) -> str:
        """Return the promise that does not hold, or ''."""
        if self.wrong:
            return self.wrong
        told = self.server.told[-1] if self.server.told else ""
        paid = self.book.paid + self.other.paid
        if paid > 1:
            return "paid twice"
        for said in (told, self.ledger):
            if said == "failed" and paid:
                return "told failed, and paid"
            if said == "succeeded" and not paid:
                return "told succeeded, and not paid"
        if self.heard and told != "succeeded":
            return "delivered was heard, and forgotten"
        if self.ledger in FINAL and told in CLOSED and told != self.ledger:
            return "a final state changed"
        return self._broken_record(told)

    def _broken_record(self, told: str) -> str:
        record = self.record
        if record is None:
            return "" if told in FINAL or not self.promised else "lost"
        if told and record.state != told:
            return "a final state changed" if told in FINAL else "it came back after its end"
        if record.state in CLOSED:
            return ""
        on_lane = bool(record.entry) and record.entry in self.server.entries
        others = {entry for entry in self.server.entries if entry[0] != "s"} - {record.entry}
        if others and not self.failed_over:
            return "two carriers"  # a failover may undo a delivery: what stays is turned away
        if on_lane == (self.server.due is not None):
            return "two carriers" if on_lane else "no carrier"
        return ""

    @property
    def ended(self) -> bool:
        """The topup has come to an end, whatever end."""
        return bool(self.server.told) or not self.promised


def _shift_record(record: Record, by: int) -> None:
    record.lease_until = max(record.lease_until - by, 0)
    record.quarantine_until = max(record.quarantine_until - by, 0)
    if record.first_send_at != NEVER:
        record.first_send_at = max(record.first_send_at - by, LONG_AGO)


def canonical(frozen: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the one value that stands for all worlds that nothing can tell from this one."""
    data, owners, wire, book, rest, replica = frozen
    ranks = [_rank(owner, name, data, wire) for name, owner in zip(OWNERS, owners, strict=True)]
    if ranks[1] < ranks[0]:
        swap = {"A": "B", "B": "A"}
        owners = (owners[1], owners[0])
        data, replica = _swapped(data, swap), replica and _swapped(replica, swap)
    held = {owner[2] for owner in owners if owner[2]}
    names: dict[str, str] = {"": "", MANY: MANY}
    for owner in owners:
        for name in (owner[1], owner[2]):
            if name not in names:
                names[name] = f"{name[0]}{len(names)}"
    data = _named(data, names, held)
    return (
        data,
        tuple((o[0], names[o[1]], names[o[2]], *o[3:]) for o in owners),
        tuple(sorted((names[n] if n in held else _whose(n), until) for n, until in wire)),
        book,
        rest,
        replica and _named(replica, names, held),
    )


def _rank(owner: tuple[Any, ...], name: str, data: Any, wire: Any) -> tuple[Any, ...]:
    """Return what tells one owner from the other, whatever they and their things are called."""
    record, entries, _, _ = data
    _, entry, nonce, *rest = owner
    of_record = record and (
        record[2] == name, record[1] == entry, record[3] == nonce, record[8] == nonce
    )  # fmt: skip
    pending = [who == name for _, who in entries]
    sent = sorted(until for n, until in wire if n and n == nonce)
    return owner[0], rest, of_record or (), sum(pending), dict(entries).get(entry) == name, sent


def _whose(nonce: str) -> str:
    """Return what still matters of a request that nobody waits for: which provider gets it."""
    return "m" if nonce[:1] == "m" else ""


def _swapped(data: Any, swap: dict[str, str]) -> Any:
    record, entries, due, told = data
    if record is not None:
        record = (*record[:2], swap.get(record[2], record[2]), *record[3:])
    return record, tuple((entry, swap.get(who, who)) for entry, who in entries), due, told


def _named(data: Any, names: dict[str, str], held: set[str]) -> Any:
    """Rename entries and nonces; a nonce that nobody holds matches nothing any more."""
    record, entries, due, told = data
    for entry, _ in entries:
        if entry not in names:
            names[entry] = f"{entry[0]}{len(names)}"
    if record is not None:
        r = Record(*record)
        r.attempt = r.since = 0
        r.seq = 0
        if r.entry and r.entry not in names:
            names[r.entry] = f"{r.entry[0]}{len(names)}"
        r.entry = names[r.entry]
        is_current = r.state == "active" and r.nonce
        r.nonce = (names[r.nonce] if r.nonce in held else "n0") if is_current else ""
        r.doubt = names[r.doubt] if r.doubt in held else (MANY if r.doubt else "")
        if r.state in FINAL:
            r = Record(state=r.state, doubt=r.doubt)
        elif r.state == "unresolved":
            r.deliver_before, r.first_send_at = 0, NEVER
        record = msgspec.structs.astuple(r)
    return record, tuple(sorted((names[e], who) for e, who in entries)), due, told[-1:]
