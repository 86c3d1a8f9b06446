"""Where the money is: takes an order, waits as long as it says, pays or refuses, and answers."""

import asyncio
import random
from typing import Final, Literal

import msgspec

from sandbox.book import Book, Entry
from sandbox.endings import CREDITED, NOT_SOLD, WALLET_EMPTY, Ending, Refusal, ending_of
from sandbox.settings import Settings
from sandbox.wire import Order, Result, fail, success

LATE_TIMES: Final = 1.25
"""A late answer comes this many timeouts after its question …"""
SLOW_TIMES: Final = 0.6
"""… and one that is slow, but fine, so many."""


class Answer(msgspec.Struct, frozen=True):
    """What goes back, if anything does."""

    how: Literal["told", "error", "cut", "rubbish"]
    result: Result | None = None


class Till:
    """Pays by the ending of the phone; decided in one step, so that no call can slip between."""

    def __init__(self, book: Book, settings: Settings) -> None:
        self._book = book
        self._dedupes = settings.dedupes
        low, high = settings.latency_ms
        self._latency_s = (low / 1_000, high / 1_000)
        self._timeout_s = settings.client_timeout_ms / 1_000

    async def sell(self, order: Order) -> Answer:
        """Carry out one order; the caller may have left meanwhile, the payment stands."""
        ending = ending_of(order.target_msisdn)
        with self._book.call(order.dist_transid) as entry:
            again = self._dedupes and entry.paid > 0
            await asyncio.sleep(self._wait_s(CREDITED if again else ending))
            # Looked at after the wait: meanwhile another call of this reference may have been paid.
            if self._dedupes and entry.paid > 0:
                return Answer("told", success(order.dist_transid, entry.transaction))
            refusal = self._refusal(order, ending, entry)
            if refusal is not None:
                self._book.refuse(order.dist_transid, refusal.code, refusal.message)
                return Answer("told", fail(order.dist_transid, refusal.code, refusal.message))
            if ending.pays:
                self._book.pay(order.dist_transid, order.amount, from_wallet=ending.from_wallet)
            return await self._reply(order, ending, entry)

    def status(self, reference: str) -> Result:
        """Say what became of a reference."""
        self._book.inquired(reference)
        entry = self._book.entry(reference)
        if entry.paid:
            return success(reference, entry.transaction)
        if entry.running:
            return Result(status="Pending", reference=reference)
        if entry.refused:
            return fail(reference, entry.code, entry.message)
        return Result(status="NotFound", reference=reference)

    def _refusal(self, order: Order, ending: Ending, entry: Entry) -> Refusal | None:
        if not order.is_sold():
            return NOT_SOLD
        if ending.from_wallet and order.amount > self._book.wallet:
            return WALLET_EMPTY
        times = ending.refused_times
        return ending.refusal if times is None or entry.refused < times else None

    async def _reply(self, order: Order, ending: Ending, entry: Entry) -> Answer:
        if ending.reply == "late":
            await asyncio.sleep(self._timeout_s * LATE_TIMES)
        elif ending.reply == "nameless":
            return Answer("told", fail("", "SBX_NOBODY", "Try again later"))
        elif ending.reply != "told":
            return Answer(ending.reply)
        return Answer("told", success(order.dist_transid, entry.transaction))

    def _wait_s(self, ending: Ending) -> float:
        if ending.slow:
            return self._timeout_s * SLOW_TIMES
        return random.uniform(*self._latency_s)  # noqa: S311 - a waiting time
