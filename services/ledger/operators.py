"""Operators: people by name, each with one key at a time; a change is told to all gateways."""

import datetime as dt

import msgspec

from services.ledger.changes import Changes
from services.ledger.keys import NewKey
from services.ledger.names import check_operator
from services.ledger.queries import queries
from shared.contracts.errors import InvalidRequest
from shared.contracts.keys import id_of
from shared.contracts.peers import OperatorKey


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """A person, or one who was; never the key itself."""

    name: str
    sha256: str
    prefix: str
    created_at: dt.datetime
    revoked_at: dt.datetime | None


class Operators:
    """Who may operate; changes raise NotAnnounced as `Changes.to` does."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def all(self, *, with_revoked: bool = False) -> list[Operator]:
        """Return them by name and age."""
        rows = await self._changes.read("operators", with_revoked=with_revoked)
        return msgspec.convert(rows, list[Operator])

    async def add(self, name: str, new: NewKey) -> None:
        """Let a person in.

        Raises:
            InvalidRequest: nobody may be called so, or somebody at work is.
        """
        check_operator(name)
        row = {"name": name, "sha256": new.sha256, "prefix": new.prefix}
        async with self._changes.transaction() as cursor:
            await cursor.execute(queries()["insert_operator"], row)
            if await cursor.fetchone() is None:
                raise InvalidRequest(
                    f"operator {name} has a key already; to draw another, first: "
                    f"topup operators revoke {name}"
                )
            after = {"key": id_of(new.sha256)}
            await self._changes.note(cursor, "operator.add", name, after=after)
        await self._changes.tell_operators([OperatorKey(sha256=new.sha256, name=name)])

    async def revoke(self, name: str) -> bool:
        """End the person's key, and tell whether it still worked; once more, it is told again.

        Raises:
            InvalidRequest: there is no such operator, and never was.
        """
        check_operator(name)
        async with self._changes.transaction() as cursor:
            await cursor.execute(queries()["last_of_operator"], {"name": name})
            last = await cursor.fetchone()
            if last is None:
                raise InvalidRequest(f"there is no operator {name}; see: topup operators list")
            await cursor.execute(queries()["revoke_operator"], {"name": name})
            ended = await cursor.fetchone() is not None
            if ended:
                before, after = {"key": id_of(last["sha256"])}, {"key": None}
                await self._changes.note(
                    cursor, "operator.revoke", name, before=before, after=after
                )
        gone = OperatorKey(sha256=last["sha256"], name=name, active=False)
        await self._changes.tell_operators([gone])
        return ended
