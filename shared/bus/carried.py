"""Topups that nobody has in hand, unread or parked, as the functions need to know them."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import structlog

from shared.bus.records import place, text
from shared.contracts.events import key_hash_in, route_in
from shared.contracts.states import Reason, State
from shared.contracts.streams import DISPATCHER_GROUP, PartitionKeys
from shared.runtime.redis import Client

log = structlog.get_logger()


class Named(Protocol):
    """Whatever is about one topup, and its idempotency key, if it has one."""

    @property
    def id(self) -> str: ...
    @property
    def key_hash(self) -> str: ...


class Carried(msgspec.Struct, frozen=True):
    """A topup by the names of its keys: its own, its idempotency key's, and its lanes'."""

    id: str
    key_hash: str
    route: tuple[str, ...]
    entry: str = ""


def carried(topup_id: bytes, body: bytes, *, entry: str = "") -> Carried:
    """Return what anyone may have written: where it is no text, a name that nothing has."""
    named = topup_id.decode(errors="replace")
    return Carried(named, key_hash_in(body), route_in(body), entry)


async def unread(client: Client, stream: str, *, after: str, count_max: int) -> list[Carried]:
    """Return the lane's entries that were not delivered yet, in their order, after that one."""
    groups = {row["name"]: row for row in await client.xinfo_groups(stream)}
    delivered = groups[DISPATCHER_GROUP.encode()]["last-delivered-id"].decode()
    start: str = max(after, delivered, key=place)
    rows = await client.xrange(stream, f"({start}", "+", count=count_max)
    return [
        carried(fields.get(b"id", b""), fields.get(b"body", b""), entry=text(entry))
        for entry, fields in rows
    ]


async def by_lane(
    client: Client, names: PartitionKeys, ids: Sequence[bytes]
) -> dict[str, list[Carried]]:
    """Return those that have a record, by the lane that they are on."""
    asked = [("HMGET", names.record(text(topup_id)), "lane", "body") for topup_id in ids]
    lanes: dict[str, list[Carried]] = {}
    for topup_id, found in zip(ids, await client.ask_each(names.waiting, asked), strict=True):
        if isinstance(found, Exception):
            raise found
        lane, body = found
        if lane is not None:
            lanes.setdefault(text(lane), []).append(carried(topup_id, body or b""))
    return lanes


def tell_steps(provider: str, items: Sequence[Carried], replies: Sequence[str]) -> None:
    """Log what became of those that moved; what stays where it is is no news."""
    for one, reply in zip(items, replies, strict=True):
        if reply == "woken":
            log.info("topup_woken", topup_id=one.id, provider=provider)
        elif reply == "moved":
            log.info("topup_moved", topup_id=one.id, provider=provider, why=Reason.LANE_HELD)
        elif reply == "expired":
            log.info(
                "topup_settled",
                topup_id=one.id,
                provider=provider,
                state=State.FAILED,
                reason=Reason.EXPIRED,
            )
