"""Customers: who may sell, under which path, how much a minute; each change is told at once."""

import datetime as dt
from typing import Any

import msgspec

from services.ledger.changes import Changes, Cursor, unknown_customer
from services.ledger.names import check_customer_id, check_limit, check_merchant
from services.ledger.queries import queries
from shared.contracts.errors import InvalidRequest
from shared.contracts.keys import SCOPES, id_of


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """A customer as operators see it."""

    customer_id: str
    merchant: str
    limit_per_minute: int | None  # None: RATE_LIMIT_PER_MINUTE
    disabled: bool
    created_at: dt.datetime
    working_keys: int  # that work, or would if it were enabled
    last_used_at: dt.datetime | None


class Seed(msgspec.Struct, frozen=True):
    """A customer with its first key; the key itself stays with who made it."""

    customer_id: str
    merchant: str
    key_sha256: str
    prefix: str


class Customers:
    """What operators do with customers; changes raise NotAnnounced as `Changes.to` does."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def all(self) -> list[Customer]:
        """Return all customers, by id."""
        return await self._read(None)

    async def find(self, customer_id: str) -> Customer:
        """Return one customer; raises InvalidRequest as all below do where there is none."""
        check_customer_id(customer_id)
        found = await self._read(customer_id)
        if not found:
            raise unknown_customer(customer_id)
        return found[0]

    async def create(self, customer_id: str, merchant: str, limit: int | None) -> None:
        """Make a customer, who has no keys yet.

        Raises:
            InvalidRequest: it exists, or something of it is not allowed.
        """
        check_customer_id(customer_id)
        check_merchant(merchant)
        check_limit(limit)
        if not await self._insert(customer_id, merchant, limit):
            raise InvalidRequest(
                f"customer {customer_id} exists; see: topup customers show {customer_id}"
            )

    async def limit(self, customer_id: str, limit: int | None) -> None:
        """Set the requests a minute; None: what the gateways have as their default."""
        check_limit(limit)
        async with self._changes.to(customer_id) as cursor:
            before = await _as_it_is(cursor, customer_id)
            await cursor.execute(
                queries()["set_limit"], {"customer_id": customer_id, "limit_per_minute": limit}
            )
            after = await _as_it_is(cursor, customer_id)
            await self._changes.note(
                cursor, "customer.limit", customer_id, before=before, after=after
            )

    async def disable(self, customer_id: str, *, disabled: bool = True) -> None:
        """Let none of its keys in any more, or all that have not ended again."""
        async with self._changes.to(customer_id) as cursor:
            before = await _as_it_is(cursor, customer_id)
            await cursor.execute(
                queries()["set_disabled"], {"customer_id": customer_id, "disabled": disabled}
            )
            act = "customer.disable" if disabled else "customer.enable"
            after = await _as_it_is(cursor, customer_id)
            await self._changes.note(cursor, act, customer_id, before=before, after=after)

    async def seed(self, seed: Seed) -> None:
        """Make the customer and its key where they are missing, and announce the key.

        Raises:
            InvalidRequest: somebody else has this key, or something of it is not allowed.
        """
        check_customer_id(seed.customer_id)
        check_merchant(seed.merchant)
        await self._insert(seed.customer_id, seed.merchant, None)
        async with self._changes.to(seed.customer_id) as cursor:
            await cursor.execute(
                queries()["insert_key"],
                {
                    "sha256": seed.key_sha256,
                    "prefix": seed.prefix,
                    "customer_id": seed.customer_id,
                    "scopes": list(SCOPES),
                    "label": "",
                },
            )
            made = await cursor.fetchone()
            await cursor.execute(queries()["key_owner"], {"sha256": seed.key_sha256})
            owner = await cursor.fetchone()
            if owner is None or owner["customer_id"] != seed.customer_id:
                raise InvalidRequest("key_sha256 belongs to another customer; draw another key")
            if made is not None:
                after = {"id": id_of(seed.key_sha256), "scopes": SCOPES}
                await self._changes.note(cursor, "key.create", seed.customer_id, after=after)

    async def _insert(self, customer_id: str, merchant: str, limit: int | None) -> bool:
        """Make the customer unless it exists; tell whether it did."""
        row = {"customer_id": customer_id, "merchant": merchant, "limit_per_minute": limit}
        async with self._changes.transaction() as cursor:
            await cursor.execute(queries()["insert_customer"], row)
            if await cursor.fetchone() is None:
                return False
            after = await _as_it_is(cursor, customer_id)
            await self._changes.note(cursor, "customer.create", customer_id, after=after)
        return True

    async def _read(self, customer_id: str | None) -> list[Customer]:
        rows = await self._changes.read("customers", customer_id=customer_id)
        return msgspec.convert(rows, list[Customer])


async def _as_it_is(cursor: Cursor, customer_id: str) -> dict[str, Any] | None:
    """Return the customer's row, for the audit."""
    await cursor.execute(queries()["customer_row"], {"customer_id": customer_id})
    return await cursor.fetchone()
