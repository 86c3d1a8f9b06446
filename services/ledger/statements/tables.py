"""Both sides of a reconciliation as columns: a million lines of each in some hundred megabytes."""

from array import array
from collections.abc import Iterator
from typing import Final

import msgspec

from shared.contracts.states import State

STATES: Final = tuple(State)
ID_BYTES: Final = 16
NO_ID: Final = bytes(ID_BYTES)
NO_TIME: Final = -1
NO_PHONE: Final = 0


class Line(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a statement that says it was paid; times are milliseconds since the epoch."""

    row: int  # as a spreadsheet numbers it
    reference: str = ""  # what the provider calls our reference
    topup_id: bytes = NO_ID  # where that is one of our ids, with or without an attempt behind it
    transaction: str = ""  # the provider's own id
    phone: int = NO_PHONE  # the digits of E.164
    amount_minor: int
    currency: str
    at_ms: int = NO_TIME
    counts: bool = True  # it is of the day; others are there for what was sold around midnight


class Sold(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One topup as the books have it; `owed_minor` is what the provider should ask for it."""

    topup_id: bytes
    transaction: str = ""
    phone: int = NO_PHONE
    owed_minor: int
    currency: str
    state: State
    accepted_at_ms: int
    counts: bool = True  # it was accepted on the day


class Texts:
    """Many short texts in one piece of memory."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q")

    def append(self, text: str) -> None:
        """Add one."""
        self._bytes += text.encode()
        self._ends.append(len(self._bytes))

    def raw(self, place: int) -> bytes:
        """Return one as UTF-8."""
        start = self._ends[place - 1] if place else 0
        return bytes(self._bytes[start : self._ends[place]])

    def __getitem__(self, place: int) -> str:
        return self.raw(place).decode()


class Ids:
    """Many ids of topups in one piece of memory."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def append(self, topup_id: bytes) -> None:
        """Add one of 16 bytes."""
        assert len(topup_id) == ID_BYTES, "an id is a UUID"
        self._bytes += topup_id

    def __getitem__(self, place: int) -> bytes:
        return bytes(self._bytes[place * ID_BYTES : (place + 1) * ID_BYTES])


class Names:
    """Few different texts, each as a small number; the same numbers for both sides."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []

    def number(self, name: str) -> int:
        """Return the number of a name."""
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = len(self._names)
            self._names.append(name)
        return found

    def __getitem__(self, number: int) -> str:
        return self._names[number]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)


class Theirs:
    """The lines of a statement."""

    def __init__(self, currencies: Names) -> None:
        self.currencies = currencies
        self.rows, self.ids = array("I"), Ids()
        self.references, self.transactions = Texts(), Texts()
        self.phones, self.amounts, self.at_ms = array("q"), array("q"), array("q")
        self.currency, self.counts = array("H"), bytearray()

    def __len__(self) -> int:
        return len(self.rows)

    def append(self, line: Line) -> None:
        """Add one."""
        self.rows.append(line.row)
        self.ids.append(line.topup_id)
        self.references.append(line.reference)
        self.transactions.append(line.transaction)
        self.phones.append(line.phone)
        self.amounts.append(line.amount_minor)
        self.at_ms.append(line.at_ms)
        self.currency.append(self.currencies.number(line.currency))
        self.counts.append(line.counts)


class Ours:
    """The topups of the books."""

    def __init__(self, currencies: Names) -> None:
        self.currencies = currencies
        self.ids, self.transactions = Ids(), Texts()
        self.phones, self.amounts, self.at_ms = array("q"), array("q"), array("q")
        self.currency, self.states, self.counts = array("H"), bytearray(), bytearray()

    def __len__(self) -> int:
        return len(self.amounts)

    def append(self, sold: Sold) -> None:
        """Add one."""
        self.ids.append(sold.topup_id)
        self.transactions.append(sold.transaction)
        self.phones.append(sold.phone)
        self.amounts.append(sold.owed_minor)
        self.at_ms.append(sold.accepted_at_ms)
        self.currency.append(self.currencies.number(sold.currency))
        self.states.append(STATES.index(sold.state))
        self.counts.append(sold.counts)

    def state(self, place: int) -> State:
        """Return where one is."""
        return STATES[self.states[place]]

    def topup_id(self, place: int) -> str:
        """Return one's id as it is written."""
        text = self.ids[place].hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
