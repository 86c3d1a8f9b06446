"""Customers and their keys: kept in the database, and told to all gateways at once."""

import msgspec
from psycopg.rows import dict_row

from services.ledger.database import Database
from services.ledger.queries import queries
from shared.contracts.errors import InvalidRequest
from shared.contracts.peers import ApiKey, KeySnapshot
from shared.contracts.streams import KEYS_STREAM
from shared.runtime.redis import Client


class Seed(msgspec.Struct, frozen=True):
    """A customer with its first key; the key itself stays with who made it."""

    customer_id: str
    merchant: str
    key_sha256: str
    prefix: str


class Customers:
    """Who may sell; each change is announced after it is committed."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    async def keys(self) -> KeySnapshot:
        """Return all keys that work; what is announced after `as_of` may not be in it."""
        told = await self._client.xrevrange(KEYS_STREAM, count=1)
        async with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(queries()["keys"])
            rows = await cursor.fetchall()
        return KeySnapshot(
            keys=msgspec.convert(rows, list[ApiKey]), as_of=told[0][0].decode() if told else "0-0"
        )

    async def seed(self, seed: Seed) -> ApiKey:
        """Make the customer and its key where they are missing, and announce the key.

        Raises:
            InvalidRequest: somebody else has this key.
        """
        async with self._database.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(
                queries()["insert_customer"],
                {"customer_id": seed.customer_id, "merchant": seed.merchant},
            )
            await cursor.execute(
                queries()["insert_key"],
                {
                    "sha256": seed.key_sha256,
                    "prefix": seed.prefix,
                    "customer_id": seed.customer_id,
                },
            )
            await cursor.execute(queries()["key"], {"sha256": seed.key_sha256})
            key = msgspec.convert(await cursor.fetchone(), ApiKey)
        if key.customer_id != seed.customer_id:
            raise InvalidRequest(f"key_sha256 belongs to {key.customer_id}; draw another key")
        await self.announce(key)
        return key

    async def announce(self, key: ApiKey) -> None:
        """Tell all gateways how this key is now."""
        await self._client.xadd(KEYS_STREAM, {"key": msgspec.json.encode(key)})
