"""API keys: drawn elsewhere, kept here as hashes; what gateways must know of them."""

import datetime as dt

import msgspec

from services.ledger.changes import Changes, Cursor
from services.ledger.names import check_key_id, check_label, check_scopes
from services.ledger.queries import queries
from shared.contracts.errors import InvalidRequest
from shared.contracts.keys import id_of
from shared.contracts.peers import ApiKey, KeySnapshot, KeyUses, KeyUsesNoted, OperatorKey


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a key; the key itself stays with who drew it."""

    sha256: str
    prefix: str


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key as operators see it."""

    sha256: str
    prefix: str  # its first characters
    customer_id: str
    label: str
    scopes: tuple[str, ...]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None  # to the minute
    customer_disabled: bool
    ended: bool

    @property
    def id(self) -> str:
        """What operators call it."""
        return id_of(self.sha256)

    def check_lasts(self) -> None:
        """Raise InvalidRequest if somebody has ended it, or set its end."""
        end = self.revoked_at or self.expires_at
        if end is not None:
            raise InvalidRequest(
                f"key {self.id} was revoked or replaced already, with its end at "
                f"{end.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}Z; "
                f"see: topup keys list {self.customer_id} --all"
            )


class Keys:
    """What gateways and operators do with keys; changes raise NotAnnounced as `Changes.to` does."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def snapshot(self) -> KeySnapshot:
        """Return all keys that work; what is announced after `as_of` may not be in it."""
        as_of = await self._changes.told_up_to()
        rows = await self._changes.read("keys")
        operators = await self._changes.read("operator_keys")
        return KeySnapshot(
            keys=msgspec.convert(rows, list[ApiKey]),
            as_of=as_of,
            operators=msgspec.convert(operators, list[OperatorKey]),
        )

    async def note_uses(self, uses: KeyUses) -> KeyUsesNoted:
        """Keep what is newer than what is known by more than a minute; never a future moment."""
        noted = await self._changes.read(
            "note_uses",
            sha256=list(uses.last_used_at_ms),
            at_ms=list(uses.last_used_at_ms.values()),
        )
        return KeyUsesNoted(len(noted))

    async def all(self, customer_id: str | None = None, *, with_ended: bool = False) -> list[Key]:
        """Return the keys of one customer or of all, by customer and age."""
        return await self._list(customer_id, "", with_ended=with_ended)

    async def find(self, key_id: str) -> Key:
        """Return the key whose hash begins so; it may have ended.

        Raises:
            InvalidRequest: there is none, or more than one.
        """
        check_key_id(key_id)
        found = await self._list(None, key_id, with_ended=True)
        if not found:
            raise InvalidRequest(f"there is no key {key_id}; see: topup keys list --all")
        if len(found) > 1:
            raise InvalidRequest(
                f"{len(found)} keys have an id that begins with {key_id}; "
                f"say more of it, for example {found[0].sha256[: len(key_id) + 4]}"
            )
        return found[0]

    async def create(
        self, customer_id: str, new: NewKey, *, scopes: list[str], label: str = ""
    ) -> None:
        """Give the customer one more key.

        Raises:
            InvalidRequest: no such customer, or the scopes or the label are not allowed.
        """
        check_scopes(scopes)
        check_label(label)
        async with self._changes.to(customer_id) as cursor:
            await _insert(cursor, customer_id, new, scopes=scopes, label=label)
            after = {"id": id_of(new.sha256), "scopes": scopes, "label": label}
            await self._changes.note(cursor, "key.create", customer_id, after=after)

    async def revoke(self, key: Key) -> None:
        """End the key now; once more, it is announced again."""
        async with self._changes.to(key.customer_id, ended=[key.sha256]) as cursor:
            await cursor.execute(queries()["revoke_key"], {"sha256": key.sha256})
            before = {"id": key.id, "revoked": key.revoked_at is not None}
            after = {"id": key.id, "revoked": True}
            await self._changes.note(
                cursor, "key.revoke", key.customer_id, before=before, after=after
            )

    async def rotate(self, key: Key, new: NewKey, *, grace_ms: int) -> None:
        """Put a new key in the place of one, which ends now or after the grace.

        Raises:
            InvalidRequest: somebody has ended or replaced it already.
        """
        async with self._changes.to(key.customer_id, ended=[key.sha256]) as cursor:
            await cursor.execute(
                queries()["listed_keys"],
                {"customer_id": key.customer_id, "key_id": key.sha256, "with_ended": True},
            )
            (row,) = msgspec.convert(await cursor.fetchall(), list[Key])
            row.check_lasts()
            end = "end_key_later" if grace_ms else "revoke_key"
            await cursor.execute(queries()[end], {"sha256": key.sha256, "grace_ms": grace_ms})
            await _insert(cursor, key.customer_id, new, scopes=list(key.scopes), label=key.label)
            before = {"id": key.id}
            after = {"id": id_of(new.sha256), "grace_ms": grace_ms}
            await self._changes.note(
                cursor, "key.rotate", key.customer_id, before=before, after=after
            )

    async def _list(self, customer_id: str | None, key_id: str, *, with_ended: bool) -> list[Key]:
        rows = await self._changes.read(
            "listed_keys", customer_id=customer_id, key_id=key_id, with_ended=with_ended
        )
        return msgspec.convert(rows, list[Key])


async def _insert(
    cursor: Cursor, customer_id: str, new: NewKey, *, scopes: list[str], label: str
) -> None:
    await cursor.execute(
        queries()["insert_key"],
        {
            "sha256": new.sha256,
            "prefix": new.prefix,
            "customer_id": customer_id,
            "scopes": scopes,
            "label": label,
        },
    )
