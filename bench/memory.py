"""What a settled topup takes in Valkey, and how long its steps take: `make bench-memory`.

Settles topups through the functions, with an idempotency key of 20 characters and the sandbox's
usual answer as evidence, once with a provider named and once with AUTO; books nothing but
acknowledges as the ledger does, and divides what `used_memory` has grown by their number.
"""

import argparse
import asyncio
import secrets
import tempfile
import time
from pathlib import Path

import msgspec

from ops.embedded import valkey_server
from sandbox.latcom_wire import success
from services.dispatcher.attempts import new_nonce
from services.dispatcher.providers.masking import mask
from shared.bus.messages import Acceptance, Outcome, Terms, Work
from shared.bus.reader import GroupReader
from shared.bus.topups import Topups
from shared.contracts.catalogue import OFFERS
from shared.contracts.events import AUTO, Evidence, TopupRequested, encode
from shared.contracts.ids import fingerprint, owner_of
from shared.contracts.packing import pack
from shared.contracts.states import State
from shared.contracts.streams import DISPATCHER_GROUP, LEDGER_GROUP
from shared.runtime.redis import Client, connect
from tests.vouching import vouch_for

LANE = "LATCOM"
CUSTOMER = "ENVIADESPENSA_001"
PRODUCT = "TFE_MXN_20_TO_2000"
PHONE = "+525500000001"
THREE = {name: offer.products[0].id for name, offer in OFFERS.items()}
BATCH = 64
OWNER = owner_of("dispatcher-1", secrets.token_hex(8))
TERMS = Terms(
    kind="neither",
    lease_ms=125_000,
    quarantine_ms=120_000,
    dedupe_window_ms=0,
    refusal_covers=False,
    hold_ms=1_000,
    breaker=0,
)


class Settled(msgspec.Struct, kw_only=True):
    """Bytes and microseconds a topup."""

    grown: float = 0.0
    record: int = 0
    key: int = 0
    lane: float = 0.0
    outcomes: float = 0.0
    accept_us: float = 0.0
    begin_us: float = 0.0
    finish_us: float = 0.0


class Sales:
    """Takes topups through their lives, a batch at a time."""

    def __init__(self, client: Client, route: dict[str, str] | None) -> None:
        self._client = client
        self._route = route
        self._topups = Topups(client, partitions=1, window_ms=7 * 86_400_000)
        self.keys = self._topups.keys[0]
        self._streams = [self.keys.requests(LANE), self.keys.outcomes]
        self._lane = GroupReader(client, group=DISPATCHER_GROUP, consumer=OWNER)
        self._books = GroupReader(client, group=LEDGER_GROUP, consumer="ledger-1")
        self._accepted = 0
        self.spent_s = {"accept": 0.0, "begin": 0.0, "finish": 0.0}

    async def settle(self, batches: int) -> None:
        """Accept, pay and acknowledge so many batches."""
        await self._topups.prepare(LANE)
        for _ in range(batches):
            await self._settle_one_batch()

    async def _settle_one_batch(self) -> None:
        orders = [self._order() for _ in range(BATCH)]
        started = time.perf_counter()
        await self._topups.accept(0, LANE, orders, deliver_before_ms=600_000)
        self.spent_s["accept"] += time.perf_counter() - started
        entries = await self._lane.read(self._streams[:1], count_max=BATCH, block_ms=None)
        works = [
            Work(
                id=order.id,
                entry=entry.id,
                key_hash=order.key_hash,
                nonce=new_nonce(),
                route=order.route,
            )
            for order, entry in zip(orders, entries, strict=True)
        ]
        started = time.perf_counter()
        await self._topups.begin(0, LANE, works, owner=OWNER, terms=TERMS)
        self.spent_s["begin"] += time.perf_counter() - started
        outcomes = [paid(work) for work in works]
        started = time.perf_counter()
        replies = await self._topups.finish(0, LANE, outcomes, terms=TERMS)
        self.spent_s["finish"] += time.perf_counter() - started
        assert replies == [("ok", State.SUCCEEDED)] * BATCH, replies
        while read := await self._books.read(self._streams, count_max=256, block_ms=None):
            await self._books.ack(read)

    def _order(self) -> Acceptance:
        self._accepted += 1
        request = TopupRequested(
            customer_id=CUSTOMER,
            phone=f"+5255{self._accepted:08}",
            country="MX",
            amount_minor=1_000,
            currency="MXN",
            provider=AUTO if self._route else LANE,
            product="" if self._route else PRODUCT,
            route=self._route,
            reference=f"order-{self._accepted:014}",
        )
        return Acceptance(
            id=f"01a20d92-b3d9-7c5d-8611-{self._accepted:012x}",
            fingerprint=fingerprint(
                phone=request.phone,
                amount_minor=request.amount_minor,
                currency=request.currency,
                provider=LANE,
                product=PRODUCT,
            ),
            key_hash=request.key_hash,
            body=encode(request),
            route=tuple(self._route or ()),
        )


def paid(work: Work) -> Outcome:
    """Return the outcome that the dispatcher makes of the sandbox's usual answer."""
    transaction = secrets.token_hex(8)
    answer = msgspec.json.encode(success(work.id, transaction))
    raw = msgspec.json.decode(mask(answer, phone=PHONE, secrets=[]))
    evidence = Evidence(provider_reference=transaction, raw=raw, by=OWNER, attempt=1)
    return Outcome(
        id=work.id,
        key_hash=work.key_hash,
        nonce=work.nonce,
        to=State.SUCCEEDED,
        reason="",
        provider_reference=transaction,
        evidence=pack(encode(evidence)),
    )


async def measure(url: str, *, topups: int, route: dict[str, str] | None = None) -> Settled:
    """Settle so many topups on an empty server; return what each took.

    `route`: who may have them, the first of which has; None: it is named.
    """
    await asyncio.to_thread(vouch_for, url)
    client = connect(url)
    try:
        sales, batches = Sales(client, route), topups // BATCH
        await sales.settle(4)
        before = (await client.info("memory"))["used_memory"]
        sales.spent_s = dict.fromkeys(sales.spent_s, 0.0)
        await sales.settle(batches)
        count = batches * BATCH
        grown = (await client.info("memory"))["used_memory"] - before
        everything = count + 4 * BATCH
        names = [sales.keys.requests(LANE), sales.keys.outcomes]
        names += [(await client.keys(one("*")))[0] for one in (sales.keys.record, sales.keys.key)]
        sizes = [await client.memory_usage(name, samples=0) for name in names]
        return Settled(
            grown=grown / count,
            lane=sizes[0] / everything,
            outcomes=sizes[1] / everything,
            record=sizes[2],
            key=sizes[3],
            **{f"{step}_us": spent / count * 1e6 for step, spent in sales.spent_s.items()},
        )
    finally:
        await client.aclose()


def main() -> None:
    """Measure on a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topups", type=int, default=20_000)
    topups = parser.parse_args().topups
    for named, route in (("with a provider named", None), ("with AUTO, of three", THREE)):
        with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as url:
            _print(named, topups, asyncio.run(measure(url, topups=topups, route=route)))


def _print(named: str, topups: int, took: Settled) -> None:
    print(f"{topups:,} settled topups {named}: {took.grown:,.0f} bytes each of used_memory")
    print(f"  bytes: record {took.record}, key {took.key}, ", end="")
    print(f"lane {took.lane:.0f}, outcomes {took.outcomes:.0f}")
    print(f"  µs: accept {took.accept_us:.0f}, begin {took.begin_us:.0f}, ", end="")
    print(f"finish {took.finish_us:.0f}")


if __name__ == "__main__":
    main()
