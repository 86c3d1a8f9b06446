"""What the sandbox was asked and what it really paid: in memory, and in a file if there is one."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

import msgspec

Fact = Literal["asked", "inquired", "paid", "refused", "wallet"]
NOTHING: Final = Decimal(0)


class Entry(msgspec.Struct, kw_only=True):
    """All that happened under one reference."""

    asked: int = 0
    inquired: int = 0
    paid: int = 0
    refused: int = 0
    amount: Decimal = NOTHING  # all that was paid, as it stood on the wire
    transaction: str = ""
    code: str = ""
    message: str = ""
    running: int = 0


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
        self.wallet = NOTHING
        self.at_once = 0
        self.at_once_max = 0
        self._encode: Final = msgspec.json.Encoder().encode
        self._file = self._open(Path(path)) if path else None

    def entry(self, reference: str) -> Entry:
        """Return what is known of the reference, without a trace if that is nothing."""
        return self.entries.get(reference) or Entry()

    @contextlib.contextmanager
    def call(self, reference: str) -> Iterator[Entry]:
        """Count a paying call while it runs."""
        self._write(Line("asked", reference))
        entry = self.entries[reference]
        entry.running += 1
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            yield entry
        finally:
            entry.running -= 1
            self.at_once -= 1

    def pay(self, reference: str, amount: Decimal, *, from_wallet: bool) -> None:
        """Credit, once more each time this is called."""
        if from_wallet:
            self._write(Line("wallet", amount=-amount))
        self._write(Line("paid", reference, amount, secrets.token_hex(8)))

    def refuse(self, reference: str, code: str, message: str) -> None:
        """Keep a definite no."""
        self._write(Line("refused", reference, code=code, message=message))

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
        entry = self.entries.get(line.reference)
        if entry is None:
            entry = self.entries[line.reference] = Entry()
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
