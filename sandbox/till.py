"""Where the money is: takes an order, waits as long as it says, pays or refuses, and answers."""

import asyncio
import random
from decimal import Decimal
from typing import Final, Literal

import msgspec

from sandbox.book import Book, Entry
from sandbox.endings import CREDITED, NOT_SOLD, WALLET_EMPTY, Ending, Refusal, ending_of

LATE_TIMES: Final = 1.25
"""A late answer comes this many timeouts after its question …"""
SLOW_TIMES: Final = 0.6
"""… and one that is slow, but fine, so many."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What any wire's paying request comes down to; the amount as it stood on the wire."""

    reference: str
    phone: str
    amount: Decimal
    is_sold: bool


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back, if anything does: a payment's transaction, or a refusal.

    `nameless`: it was paid, and a refusal is told that nobody has heard of.
    """

    how: Literal["told", "error", "cut", "rubbish", "nameless"] = "told"
    transaction: str = ""
    refusal: Refusal | None = None


class Till:
    """Pays by the ending of the phone; decided in one step, so that no call can slip between.

    `timeout_ms`: how long the client waits; `dedupes`: a reference that was paid is answered again.
    """

    def __init__(
        self, book: Book, *, latency_ms: tuple[int, int], timeout_ms: int, dedupes: bool = False
    ) -> None:
        self._book = book
        self._dedupes = dedupes
        low, high = latency_ms
        self._latency_s = (low / 1_000, high / 1_000)
        self._timeout_s = timeout_ms / 1_000

    async def sell(self, order: Order) -> Answer:
        """Carry out one order; the caller may have left meanwhile, the payment stands."""
        ending = ending_of(order.phone)
        with self._book.call(order.reference) as entry:
            again = self._dedupes and entry.paid > 0
            await asyncio.sleep(self._wait_s(CREDITED if again else ending))
            # Looked at after the wait: meanwhile another call of this reference may have been paid.
            if self._dedupes and entry.paid > 0:
                return Answer(transaction=entry.transaction)
            refusal = self._refusal(order, ending, entry)
            if refusal is not None:
                transaction = self._book.refuse(order.reference, refusal.code, refusal.message)
                return Answer(transaction=transaction, refusal=refusal)
            transaction = ""
            if ending.pays:
                transaction = self._book.pay(
                    order.reference, order.amount, from_wallet=ending.from_wallet
                )
            return await self._reply(ending, transaction)

    def _refusal(self, order: Order, ending: Ending, entry: Entry) -> Refusal | None:
        if not order.is_sold:
            return NOT_SOLD
        if ending.from_wallet and order.amount > self._book.wallet:
            return WALLET_EMPTY
        times = ending.refused_times
        return ending.refusal if times is None or entry.refused < times else None

    async def _reply(self, ending: Ending, transaction: str) -> Answer:
        if ending.reply == "late":
            await asyncio.sleep(self._timeout_s * LATE_TIMES)
            return Answer(transaction=transaction)
        return Answer(how=ending.reply, transaction=transaction)

    def _wait_s(self, ending: Ending) -> float:
        if ending.slow:
            return self._timeout_s * SLOW_TIMES
        return random.uniform(*self._latency_s)  # noqa: S311 - a waiting time
