"""What a server that came back must show before topups go on, and how its losses are restored."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from shared.bus.calls import Caller, failed_item
from shared.bus.messages import ItemFailed, Restoring
from shared.bus.records import text
from shared.bus.topups import Topups
from shared.contracts.acts import ActBy
from shared.contracts.events import encode
from shared.contracts.ids import fingerprint
from shared.runtime.redis import Client

QUARANTINE_MS: Final = 900_000
"""After a loss nobody knows when a topup was last sent: longer than any lease and quarantine."""


class Loss(msgspec.Struct, frozen=True):
    """What a partition lacks: this key is not, or not as far as, in the books."""

    key: str
    has: str


class Trust:
    """Compares partitions with what the books know of them, and brings them back to it.

    Trust is kept in the server's memory alone, so that each of its lives is compared anew.
    """

    def __init__(self, client: Client, topups: Topups) -> None:
        self._client = client
        self._keys = topups.keys
        self._caller = Caller(client, replicas=topups.replicas)

    async def found(self, partition: int) -> str:
        """Give the partition a generation unless it has one; return its own. Raises as `accept`.

        A failover may undo it: that is taken for a loss, which is safe.
        """
        meta = self._keys[partition].meta
        return text(await self._caller.call("found", [meta], [new_generation()]))

    async def vouch(
        self, partition: int, generation: str, reached: Mapping[str, str]
    ) -> Loss | None:
        """Let topups go on, or return what is missing; `reached` is the last entry id by stream."""
        keys = [self._keys[partition].meta, *reached]
        reply = await self._caller.call("vouch", keys, [generation, *reached.values()])
        return None if reply[0] == b"verified" else Loss(*map(text, reply[1:]))

    async def renew(self, partition: int, generation: str, reached: Mapping[str, str]) -> None:
        """Give the partition a new generation, and no entry an id that was given before."""
        keys = [self._keys[partition].meta, *reached]
        args = [generation, len(self._keys), *reached.values()]
        await self._caller.call("renew", keys, args, durable=True)

    async def hold(self, partition: int, provider: str, *, act: ActBy) -> None:
        """Let nothing of the lane start, in this partition, until it is released."""
        names = self._keys[partition]
        args = [provider, act.why, act.who, "", 1, act.id]
        await self._caller.call("hold", [names.lanes, names.acts], args, durable=True)

    async def release(self, partition: int, provider: str, *, act: ActBy) -> None:
        """Open the lane in this partition."""
        names = self._keys[partition]
        args = [provider, act.who, "", act.id, act.why]
        await self._caller.call("release", [names.lanes, names.acts], args, durable=True)

    async def restore(
        self, partition: int, provider: str, items: Sequence[Restoring]
    ) -> list[tuple[str, str] | ItemFailed]:
        """Bring records to what is known of them; return for each the reply and its state.

        Replies: `restored`, `kept` (it knows as much), `differs` (it has another end) or `newer`.
        Raises as `Topups.accept` does.
        """
        args: list[Any] = [QUARANTINE_MS]
        for item in items:
            args += (
                item.id, _fingerprint(item), item.request.key_hash,
                item.body or encode(item.request), item.accepted_at_ms, item.seq,
                item.to.value, item.reason, item.provider_reference, item.evidence,
                item.settled_at_ms, item.window_ms,
            )  # fmt: skip
        keys = self._keys[partition].with_records(
            provider, [(item.id, item.request.key_hash) for item in items]
        )
        replies = await self._caller.call("restore", keys, args, durable=True)
        return [failed_item(reply) or (text(reply[0]), text(reply[1])) for reply in replies]


def new_generation() -> str:
    """Return what no other generation of any partition is."""
    return secrets.token_hex(8)


def _fingerprint(item: Restoring) -> str:
    request = item.request
    return fingerprint(
        phone=request.phone,
        amount_minor=request.amount_minor,
        currency=request.currency,
        provider=request.provider,
        product=request.product,
    )
