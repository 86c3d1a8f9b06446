"""What was put aside for people: look at it, be done with it, or accept what was never begun."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from shared.bus.calls import Caller
from shared.bus.records import text
from shared.bus.topups import Topups
from shared.contracts.acts import ActBy
from shared.contracts.bookable import unbookable_id
from shared.contracts.events import TopupRequested, encode
from shared.contracts.ids import fingerprint
from shared.runtime.redis import Client

_NAME: Final = re.compile(r"(0|[1-9][0-9]{0,4})\.([0-9]{1,19}-[0-9]{1,19})")
PAGE: Final = 256


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Who dealt with a letter, how (`discarded`, `redriven`), when and why."""

    what: str
    by: str
    why: str
    at: float


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One copy: `lane` is `outcomes` for those; `source` its entry there, where the ledger made it.

    `sent` is `no` where nothing was ever begun for it.
    """

    partition: int
    entry: str
    topup_id: str
    lane: str
    reason: str
    payload: bytes
    source: str | None
    sent: str
    mark: Mark | None

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.partition}.{self.entry}"

    @property
    def at_ms(self) -> int:
        """When it was put aside."""
        return int(self.entry.partition("-")[0])


class Dead:
    """The dead letters of all partitions."""

    def __init__(self, client: Client, topups: Topups) -> None:
        self._client = client
        self._topups = topups
        self._caller = Caller(client, replicas=topups.replicas)

    async def newest(self, *, count_max: int, with_done: bool) -> list[Letter]:
        """Return the newest, those first; without `with_done` only what waits for people."""
        found: list[Letter] = []
        for partition in range(len(self._topups.keys)):
            found += await self._newest_of(partition, count_max, with_done=with_done)
        return sorted(found, key=lambda letter: letter.at_ms, reverse=True)[:count_max]

    async def find(self, name: str) -> Letter | None:
        """Return the letter of this name."""
        place = self.place_of(name)
        if place is None:
            return None
        partition, entry = place
        names = self._topups.keys[partition]
        rows = await self._client.xrange(names.dead, entry, entry)
        letters = await self._letters(partition, rows)
        return letters[0] if letters else None

    async def of_topup(self, partition: int, topup_id: str) -> list[Letter]:
        """Return the newest letters about a topup, of the last `PAGE` of its partition."""
        newest = await self._newest_of(partition, PAGE, with_done=True)
        return [letter for letter in newest if letter.topup_id == topup_id]

    async def discard(self, letter: Letter, *, act: ActBy) -> tuple[str, str]:
        """Be done with it; return `discarded`, `done` (and by whom, as JSON) or `none`."""
        names = self._topups.keys[letter.partition]
        about = letter.name if unbookable_id(letter.topup_id) else letter.topup_id
        keys = [names.dead, names.dead_done, names.acts]
        args = [letter.entry, act.who, act.why, act.id, about, letter.name]
        reply = await self._caller.call("discard", keys, args, durable=True)
        return text(reply[0]), text(reply[1])

    async def redrive(
        self, letter: Letter, request: TopupRequested, *, deliver_before_ms: int, act: ActBy
    ) -> tuple[str, str]:
        """Accept its topup; return `redriven`, or another word that says why not, and a detail."""
        names = self._topups.keys[letter.partition]
        keys = names.with_records(request.provider, [(letter.topup_id, request.key_hash)])
        print_ = fingerprint(
            phone=request.phone,
            amount_minor=request.amount_minor,
            currency=request.currency,
            provider=request.provider,
            product=request.product,
        )
        args: list[Any] = [
            len(self._topups.keys), deliver_before_ms, letter.entry, letter.topup_id, print_,
            request.key_hash, encode(request), act.who, act.why, act.id, letter.name,
        ]  # fmt: skip
        keys = [*keys, names.dead_done]
        reply = await self._caller.call("redrive", keys, args, durable=True)
        return text(reply[0]), text(reply[1])

    def place_of(self, name: str) -> tuple[int, str] | None:
        """Return the partition and the entry that a name says; None where it can be no name."""
        found = _NAME.fullmatch(name)
        if found is None or int(found[1]) >= len(self._topups.keys):
            return None
        return int(found[1]), found[2]

    async def _newest_of(self, partition: int, count_max: int, *, with_done: bool) -> list[Letter]:
        found: list[Letter] = []
        last = "+"
        while len(found) < count_max:
            names = self._topups.keys[partition]
            rows = await self._client.xrevrange(names.dead, last, "-", count=PAGE)
            letters = await self._letters(partition, rows)
            found += [letter for letter in letters if with_done or letter.mark is None]
            if len(rows) < PAGE:
                break
            last = f"({rows[-1][0].decode()}"
        return found[:count_max]

    async def _letters(
        self, partition: int, rows: Sequence[tuple[bytes, Mapping[bytes, bytes]]]
    ) -> list[Letter]:
        if not rows:
            return []
        done = self._topups.keys[partition].dead_done
        marks = await self._client.hmget(done, [entry for entry, _ in rows])
        return [
            _letter(partition, text(entry), fields, mark)
            for (entry, fields), mark in zip(rows, marks, strict=True)
        ]


def _letter(
    partition: int, entry: str, fields: Mapping[bytes, bytes], mark: bytes | None
) -> Letter:
    said = {name: value.decode(errors="replace") for name, value in fields.items()}
    return Letter(
        partition=partition,
        entry=entry,
        topup_id=said.get(b"id", ""),
        lane=said.get(b"lane", ""),
        reason=said.get(b"reason", ""),
        payload=fields.get(b"payload", b""),
        source=said.get(b"entry"),
        sent=said.get(b"sent", ""),
        mark=msgspec.json.decode(mark, type=Mark) if mark else None,
    )
