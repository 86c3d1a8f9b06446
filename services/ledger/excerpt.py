"""The part of the audit that one target's acts are in; of all other acts the digest alone.

Whoever has it can follow the chain to the stated head, and compare that with one noted elsewhere.
"""

from hashlib import sha256
from typing import Final

import msgspec
from psycopg.rows import dict_row

from services.ledger.chain import Head, Row, content_of_row, follow
from services.ledger.database import Connection
from services.ledger.queries import queries

LINKS_MAX: Final = 20_000
FOLLOWED: Final = (
    "python3 -c \"import json, hashlib, functools; a = json.load(open('audit.json')); "
    "s = lambda b: hashlib.sha256(b).digest(); h = bytes.fromhex; "
    "d = lambda r: h(r['digest']) if 'digest' in r else s(r['content'].encode()); "
    "print(functools.reduce(lambda p, r: s(p + d(r)), a['links'], h(a['after']['hash'])).hex() "
    "== a['head']['hash'])\""
)
"""A command that prints True where an excerpt in `audit.json` leads to its head."""


class Place(msgspec.Struct, frozen=True):
    """A row of the chain and its hash, as hex; 0 is before the first."""

    seq: int
    hash: str

    def __str__(self) -> str:
        """Return `SEQ:HASH`, as `topup audit verify --noted` takes it."""
        return f"{self.seq}:{self.hash}"


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """The next row: its content, as it is hashed, or only the SHA-256 of that, as hex."""

    content: str | None = None
    digest: str | None = None


class Excerpt(msgspec.Struct, frozen=True, kw_only=True):
    """The rows behind `after`, up to the head; `left_out` acts of the target come behind it."""

    after: Place
    links: list[Link]
    head: Place
    left_out: int = 0


async def read_excerpt(connection: Connection, target: str) -> Excerpt:
    """Return the chain from the target's first act on, with the newest head or `LINKS_MAX` rows.

    Raises:
        psycopg.Error: the chain cannot be read.
    """
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(queries()["audit_since"], {"target": target, "limit": LINKS_MAX})
    rows = [Row(**row) for row in await cursor.fetchall()]
    await cursor.execute(queries()["audit_of"], {"target": target})
    acts = (await cursor.fetchall())[0]["acts"]
    if not rows:
        await cursor.execute(queries()["audit_head"])
        last = await cursor.fetchone()
        head = _place(Head() if last is None else Head(**last))
        return Excerpt(after=head, links=[], head=head)
    contents = [content_of_row(row.seq, row) for row in rows]
    ours = [row.target == target for row in rows]
    links = [
        Link(content=content.decode()) if own else Link(digest=sha256(content).hexdigest())
        for content, own in zip(contents, ours, strict=True)
    ]
    first, last_row = rows[0], rows[-1]
    return Excerpt(
        after=_place(Head(first.seq - 1, first.previous)),
        links=links,
        head=_place(Head(last_row.seq, last_row.hash)),
        left_out=acts - sum(ours),
    )


def wrong_links(excerpt: Excerpt, target: str) -> list[str]:
    """Return what does not hold: an act that is another's or elsewhere, or the head."""
    wrong, seq = [], excerpt.after.seq
    try:
        reached = bytes.fromhex(excerpt.after.hash)
        for link in excerpt.links:
            seq += 1
            reached = follow(reached, _digest(link))
            if link.content is not None and not _is_of(link.content, seq, target):
                wrong.append(f"act {seq}")
    except ValueError:
        return [*wrong, f"act {seq}"]
    if (seq, reached.hex()) != (excerpt.head.seq, excerpt.head.hash):
        wrong.append("the head of the audit")
    return wrong


def _digest(link: Link) -> bytes:
    if link.content is not None:
        return sha256(link.content.encode()).digest()
    return bytes.fromhex(link.digest or "none")


def _is_of(content: str, seq: int, target: str) -> bool:
    try:
        said = msgspec.json.decode(content, type=list[str | int])
    except (msgspec.MsgspecError, RecursionError):
        return False
    return (said[:2], said[6:7]) == (["a1", seq], [target])


def _place(head: Head) -> Place:
    return Place(head.seq, head.hash.hex())
