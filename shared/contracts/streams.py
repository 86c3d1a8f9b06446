"""The names of keys and groups in Redis; every key of partition p carries the hash tag {p}."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final
from zlib import crc32

DISPATCHER_GROUP: Final = "dispatcher"
LEDGER_GROUP: Final = "ledger"
KEYS_STREAM: Final = "topup:keys"
"""Announcements that a key or customer changed; every gateway tails it."""


def partition_of(customer_id: str, partitions: int) -> int:
    """Return the partition that holds all of one customer's topups."""
    return crc32(customer_id.encode()) % partitions


def brings_outcomes(stream: str) -> bool:
    """Tell a stream of outcomes from a lane."""
    return stream.endswith(":outcomes")


def brings_acts(stream: str) -> bool:
    """Tell a stream of acts from one of topups."""
    return stream.endswith(":acts")


class PartitionKeys:
    """All key names of one partition."""

    def __init__(self, partition: int) -> None:
        self.prefix = f"topup:{{{partition}}}:"
        self.meta = self.prefix + "meta"
        self.outcomes = self.prefix + "outcomes"
        self.waiting = self.prefix + "waiting"
        self.alive = self.prefix + "alive"
        self.counters = self.prefix + "counters"
        self.lanes = self.prefix + "lanes"
        self.dead = self.prefix + "dead"
        self.dead_done = self.prefix + "dead:done"
        self.acts = self.prefix + "acts"
        self.instances = self.prefix + "instances"
        self.trials = self.prefix + "trials"

    def requests(self, provider: str) -> str:
        """Name the lane of one provider."""
        return f"{self.prefix}requests:{provider}"

    def common(self, provider: str) -> list[str]:
        """Name the keys that every function of a topup's life gets, in their order."""
        return [
            self.requests(provider), self.outcomes, self.waiting, self.alive, self.counters,
            self.meta, self.lanes, self.dead, self.acts,
        ]  # fmt: skip

    def with_records(self, provider: str, items: Sequence[tuple[str, str]]) -> list[str]:
        """Name these, and the records and key records of topups given as (id, key hash or '')."""
        keys = self.common(provider)
        keys += [self.record(topup_id) for topup_id, _ in items]
        keys += [self.key(key) if key else self.record(topup_id) for topup_id, key in items]
        return keys

    def lanes_of(self, routes: Iterable[Sequence[str]]) -> list[str]:
        """Name the lanes of all routes, each once."""
        return [self.requests(name) for name in dict.fromkeys(chain.from_iterable(routes))]

    def limbo(self, provider: str) -> str:
        """Name when each unresolved topup of one provider is asked about again."""
        return f"{self.prefix}limbo:{provider}"

    def record(self, topup_id: str) -> str:
        """Name the record of one topup."""
        return f"{self.prefix}record:{topup_id}"

    def key(self, key_hash: str) -> str:
        """Name the record of one idempotency key."""
        return f"{self.prefix}key:{key_hash}"
