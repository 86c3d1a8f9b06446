"""The audit: acts in a chain of hashes that only grows; read, appended to, and verified.

A row's hash is SHA-256 over the hash before it (of the first row: 32 zero bytes) and the SHA-256 of
its content, a JSON array: `["a1", seq, id, at_ms, who, act, target, why, before, after]`, the last
two as text. So a chain can be followed by whoever may read only some of its rows: of all others
their digest will do.
"""

from collections.abc import AsyncIterable, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
from psycopg.rows import dict_row

from services.ledger.database import Connection, Database
from services.ledger.entries import Fields, Unreadable, number_in, plain, text_in, uuid_in
from services.ledger.queries import queries
from shared.contracts.acts import Act
from shared.contracts.peers import AuditPage, AuditQuery, AuditRow

LOCK_KEY: Final = 0x746F707571  # any number that only appending to the chain uses
GENESIS: Final = bytes(32)
JSON_BYTES_MAX: Final = 64 * 1024
_AT_MS_MAX: Final = 253_402_300_799_999


class Head(msgspec.Struct, frozen=True):
    """The chain's last row; whoever notes it elsewhere can tell later that nothing was cut off."""

    seq: int = 0
    hash: bytes = GENESIS

    def __str__(self) -> str:
        """Return `SEQ:HASH`."""
        return f"{self.seq}:{self.hash.hex()}"


class Verdict(msgspec.Struct, frozen=True):
    """How far the chain is whole; `broken` says what is wrong behind it, if anything is."""

    head: Head
    broken: str | None = None


class Row(Act, frozen=True, kw_only=True):
    """One row, as it lies in the table."""

    seq: int
    previous: bytes
    hash: bytes


def read_act(fields: Fields) -> Act:
    """Return the act in an entry of a stream of acts.

    Raises:
        Unreadable: a field is missing or is not what it should be.
    """
    before, after = (_json_in(fields, name) for name in ("before", "after"))
    return Act(
        id=uuid_in(fields, "id"),
        at_ms=number_in(fields, "at", maximum=_AT_MS_MAX),
        **{name: plain(text_in(fields, name)) for name in ("who", "act", "target", "why")},
        before=before,
        after=after,
    )


def content_of_row(seq: int, act: Act) -> bytes:
    """Return what is hashed of an act in this place."""
    content = [
        "a1", seq, act.id, act.at_ms, act.who, act.act, act.target, act.why, act.before, act.after
    ]  # fmt: skip
    return msgspec.json.encode(content)


def hash_of_row(previous: bytes, seq: int, act: Act) -> bytes:
    """Return the hash of an act in this place."""
    return follow(previous, sha256(content_of_row(seq, act)).digest())


def follow(previous: bytes, digest: bytes) -> bytes:
    """Return the hash of the row behind `previous` whose content has this digest."""
    return sha256(previous + digest).digest()


async def append(connection: Connection, acts: Sequence[Act]) -> int:
    """Append those that are not in the chain yet, in the caller's transaction; return how many.

    The chain is locked until that transaction ends: let it be the last thing that is done there.
    """
    cursor = connection.cursor()
    await cursor.execute(queries()["audit_alone"], {"key": LOCK_KEY})
    await cursor.execute(queries()["audit_known"], {"act_id": [act.id for act in acts]})
    known = {row[0] for row in await cursor.fetchall()}
    fresh = {act.id: act for act in reversed(acts) if act.id not in known}
    await cursor.execute(queries()["audit_head"])
    last = await cursor.fetchone()
    seq, previous = last if last is not None else (0, GENESIS)
    for act in reversed(fresh.values()):
        seq += 1
        hashed = hash_of_row(previous, seq, act)
        row = {"seq": seq, "act_id": act.id, "previous": previous, "hash": hashed}
        await cursor.execute(queries()["audit_append"], msgspec.structs.asdict(act) | row)
        previous = hashed
    return len(fresh)


class Chain:
    """The audit in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def book(self, acts: Sequence[Act]) -> int:
        """Append what is new; durable when it returns. Raises psycopg.Error."""
        async with self._database.connection() as connection, connection.transaction():
            await _confirm(connection, acts)
            return await append(connection, acts)

    async def lacking(self, acts: Sequence[Act]) -> list[Act]:
        """Return those that are not in the chain; raises psycopg.Error."""
        async with self._database.connection() as connection:
            given = {"act_id": [act.id for act in acts]}
            rows = await (await connection.execute(queries()["audit_known"], given)).fetchall()
        known = {row[0] for row in rows}
        return [act for act in acts if act.id not in known]

    async def page(self, query: AuditQuery) -> AuditPage:
        """Return acts, newest first; raises psycopg.Error."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            given = msgspec.structs.asdict(query) | {"limit": query.limit + 1}
            await cursor.execute(queries()["audit_page"], given)
            rows = msgspec.convert(await cursor.fetchall(), list[AuditRow])
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        return AuditPage(rows, next=rows[-1].seq if more else None)

    async def verify(self, *, noted: Head | None = None) -> Verdict:
        """Go along the whole chain; with a head that was noted earlier, it must still be in it.

        Raises:
            psycopg.Error: the chain cannot be read.
        """
        async with (
            self._database.connection(within_s=None) as connection,
            connection.transaction(),
            connection.cursor(name="chain", row_factory=dict_row) as cursor,
        ):
            await cursor.execute(queries()["audit_rows"])
            return await _gone_along(cursor, noted)


async def _confirm(connection: Connection, acts: Sequence[Act]) -> None:
    """End the proposals on which topups were settled; an act has its proposal's id."""
    done = [act for act in acts if act.act == "topup.resolve"]
    if done:
        given = {
            "id": [act.id for act in done],
            "who": [act.who for act in done],
            "at_ms": [act.at_ms for act in done],
        }
        await connection.execute(queries()["confirm_proposals"], given)


async def _gone_along(rows: AsyncIterable[dict[str, Any]], noted: Head | None) -> Verdict:
    head, met = Head(), noted is None or noted == Head()
    async for found in rows:
        row = Row(**found)
        wrong = _wrong(head, row)
        if wrong is not None:
            return Verdict(head, wrong)
        head = Head(row.seq, row.hash)
        met = met or head == noted
    return Verdict(head, None if met else f"{noted} is not in it: it was cut off, or is another")


def _wrong(head: Head, row: Row) -> str | None:
    """Say what is wrong with a row that should follow the head."""
    if row.seq != head.seq + 1:
        return f"row {head.seq + 1} is missing: after {head.seq} comes {row.seq}"
    if row.previous != head.hash:
        return f"row {row.seq} does not follow row {head.seq}: one of them was put in or taken out"
    if hash_of_row(head.hash, row.seq, row) != row.hash:
        return f"row {row.seq} ({row.act} by {row.who}) is not what was written"
    return None


def _json_in(fields: Fields, name: str) -> str:
    value = fields.get(name, b"")
    if len(value) > JSON_BYTES_MAX:
        raise Unreadable(f"field {name} has {len(value)} bytes, over {JSON_BYTES_MAX}")
    try:
        msgspec.json.decode(value)
        return value.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise Unreadable(f"field {name} is not JSON: {problem}") from None
