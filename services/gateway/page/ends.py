"""The newest ends of topups, read from the streams' tips: a bounded few, whatever the rate is."""

import asyncio
from typing import Final

import msgspec

from services.gateway.page.frames import Ended
from shared.bus.reader import Entry, read_rows
from shared.bus.records import place
from shared.bus.topups import Topups
from shared.contracts.events import decode_request
from shared.contracts.ids import mask_phone
from shared.contracts.instants import timestamp
from shared.contracts.money import format_amount
from shared.runtime.redis import Client

ENDS_MAX: Final = 128
"""Of each partition and each look; beyond that it is a sample."""
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, KeyError, RecursionError)


class Ends:
    """Reads what has ended since the last look, the newest of it."""

    def __init__(self, client: Client, topups: Topups) -> None:
        self._client = client
        self._streams = [names.outcomes for names in topups.keys]
        self._places: dict[str, str] = {}

    async def read(self) -> list[Ended]:
        """Return them in the order of time; raises RedisError, OSError."""
        count = max(ENDS_MAX // len(self._streams), 1)
        rows = await asyncio.gather(
            *(
                self._client.xrevrange(stream, "+", self._start(stream), count=count)
                for stream in self._streams
            )
        )
        entries: list[Entry] = []
        for stream, found in zip(self._streams, rows, strict=True):
            newest_first = read_rows(stream, found)
            if newest_first:
                self._places[stream] = newest_first[0].id
            entries += newest_first
        entries.sort(key=lambda entry: place(entry.id))
        return [ended for entry in entries if (ended := ended_of(entry)) is not None]

    def _start(self, stream: str) -> str:
        after = self._places.get(stream)
        return f"({after}" if after else "-"


def ended_of(entry: Entry) -> Ended | None:
    """Return what the entry tells; None where nobody can read it, which the ledger reports."""
    try:
        at_ms = int(entry.id.partition("-")[0])
        order = decode_request(entry.fields["body"])
        first = entry.fields["seq"] == b"1"
        return Ended(
            topup_id=entry.fields["id"].decode(),
            at=timestamp(at_ms),
            status=entry.fields["state"].decode(),
            provider=entry.fields.get("provider", order.provider.encode()).decode(),
            customer_id=order.customer_id,
            amount=format_amount(order.amount_minor, order.currency),
            currency=order.currency,
            phone=mask_phone(order.phone),
            reason=entry.fields.get("reason", b"").decode() or None,
            took_ms=max(at_ms - int(entry.fields["at"]), 0) if first else None,
        )
    except _UNREADABLE:
        return None
