"""Makes customers beside the demo's own, each with a key, as an operator would."""

from services.ledger.changes import Changes
from services.ledger.customers import Customers
from services.ledger.database import Database
from services.ledger.keys import Keys, NewKey
from shared.contracts.keys import SCOPES, draw_key, hash_of, shown_of
from shared.runtime.redis import connect


async def open_accounts(postgres: str, streams: str, count: int) -> list[str]:
    """Return the keys of so many new customers; every gateway hears of them."""
    database, client = Database(postgres, connections_max=1), connect(streams)
    await database.open()
    try:
        changes, secrets = Changes(database, client, by="chaos"), []
        for number in range(count):
            customer, secret = f"CHAOS_{number:03}", draw_key()
            await Customers(changes).create(customer, "enviadespensa", None)
            new = NewKey(sha256=hash_of(secret), prefix=shown_of(secret))
            await Keys(changes).create(customer, new, scopes=list(SCOPES))
            secrets.append(secret)
        return secrets
    finally:
        await client.aclose()
        await database.close()
