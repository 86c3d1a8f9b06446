"""What the sandbox was asked and what it really paid: in memory, and in a file if there is one."""

import contextlib
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

import msgspec

Fact = Literal["asked", "inquired", "paid", "refused", "wallet"]
NOTHING: Final = Decimal(0)
_ID_MIN: Final = 10**14
_ATTEMPT: Final = re.compile(r"-[0-9]{1,3}$")


def order_of(reference: str) -> str:
    """Return whose order it is: `<order>-<attempt>` is the reference of one of its attempts."""
    return _ATTEMPT.sub("", reference)


class Entry(msgspec.Struct, kw_only=True):
    """All that happened to one order, under all of its references."""

    asked: int = 0
    inquired: int = 0
    paid: int = 0
    refused: int = 0
    amount: Decimal = NOTHING  # all that was paid, as it stood on the wire
    transaction: str = ""
    code: str = ""
    message: str = ""
    running: int = 0


class Transaction(msgspec.Struct, frozen=True):
    """The last thing that was done under one reference; refused where there is a code."""

    id: str
    amount: Decimal = NOTHING
    code: str = ""
    message: str = ""


class Line(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One line of the file."""

    fact: Fact
    reference: str = ""
    amount: Decimal = NOTHING
    transaction: str = ""
    code: str = ""
    message: str = ""


class Book:
    """Counts, and never forgets: a line is in the kernel before anyone can hear of it."""

    def __init__(self, path: str | None) -> None:
        self.entries: dict[str, Entry] = {}
        self.transactions: dict[str, Transaction] = {}
        self.running: Counter[str] = Counter()
        self.wallet = NOTHING
        self.at_once = 0
        self.at_once_max = 0
        self._encode: Final = msgspec.json.Encoder().encode
        self._file = self._open(Path(path)) if path else None

    def entry(self, reference: str) -> Entry:
        """Return what is known of the order, without a trace if that is nothing."""
        return self.entries.get(order_of(reference)) or Entry()

    @contextlib.contextmanager
    def call(self, reference: str) -> Iterator[Entry]:
        """Count a paying call while it runs."""
        self._write(Line("asked", reference))
        entry = self.entries[order_of(reference)]
        entry.running += 1
        self.running[reference] += 1
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            yield entry
        finally:
            entry.running -= 1
            self.running[reference] -= 1
            self.at_once -= 1

    def pay(self, reference: str, amount: Decimal, *, from_wallet: bool) -> str:
        """Credit, once more each time this is called; return the transaction's id."""
        transaction = _new_id()
        if from_wallet:
            self._write(Line("wallet", amount=-amount))
        self._write(Line("paid", reference, amount, transaction))
        return transaction

    def refuse(self, reference: str, code: str, message: str) -> str:
        """Keep a definite no; return the transaction's id."""
        transaction = _new_id()
        self._write(Line("refused", reference, transaction=transaction, code=code, message=message))
        return transaction

    def inquired(self, reference: str) -> None:
        """Count a question, also one about what nobody ever asked for."""
        self._write(Line("inquired", reference))

    def top_up_wallet(self, amount: Decimal) -> None:
        """Put money of the distributor's in."""
        self._write(Line("wallet", amount=amount))

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)

    def _write(self, line: Line) -> None:
        if self._file is not None:
            data = self._encode(line) + b"\n"
            if os.write(self._file, data) != len(data):
                raise OSError("the book's disk is full")
        self._apply(line)

    def _apply(self, line: Line) -> None:
        if line.fact == "wallet":
            self.wallet += line.amount
            return
        order = order_of(line.reference)
        entry = self.entries.get(order)
        if entry is None:
            entry = self.entries[order] = Entry()
        if line.fact in ("paid", "refused"):
            self.transactions[line.reference] = Transaction(
                line.transaction, line.amount, line.code, line.message
            )
        match line.fact:
            case "asked":
                entry.asked += 1
            case "inquired":
                entry.inquired += 1
            case "paid":
                entry.paid += 1
                entry.amount += line.amount
                entry.transaction = entry.transaction or line.transaction
            case "refused":
                entry.refused += 1
                entry.code, entry.message = line.code, line.message

    def _open(self, path: Path) -> int:
        """Read what an earlier life wrote; a half line at the end was told to nobody."""
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        os.ftruncate(file, whole)
        decoder = msgspec.json.Decoder(Line)
        for line in data[:whole].splitlines():
            self._apply(decoder.decode(line))
        return file


def _new_id() -> str:
    """Return digits, as every wire can write them."""
    return str(_ID_MIN + secrets.randbelow(8 * _ID_MIN))
