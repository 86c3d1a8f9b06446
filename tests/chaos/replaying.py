"""Feeds all streams to the books once more: it must change nothing."""

from services.ledger.audit import Audit
from services.ledger.books import Books
from services.ledger.database import Database
from services.ledger.entries import read_outcome, read_request
from tests.chaos.sources import (
    PAGE,
    entries,
    lanes_of,
    open_valkey,
    outcomes_of,
    prefixes_of,
)
from tests.chaos.verifier import Violation


async def replay_changes(valkey: str, postgres: str) -> list[Violation]:
    """Return what a replay changes, and what the books' own audit finds."""
    client = open_valkey(valkey)
    database = Database(postgres, connections_max=1)
    await database.open()
    try:
        audit, books = Audit(database), Books(database)
        before = await audit.digest()
        found = [
            Violation("out of balance", "audit", f"{check.promise}: not for {check.broken}")
            for check in await audit.verify()
            if check.broken
        ]
        prefixes = prefixes_of(client)
        requests = [
            read_request(entry, _raw(fields))
            for lane in lanes_of(prefixes)
            for entry, fields in entries(client, lane)
        ]
        outcomes = [
            read_outcome(entry, _raw(fields))
            for stream in outcomes_of(prefixes)
            for entry, fields in entries(client, stream)
        ]
        for start in range(0, len(requests), PAGE):
            await books.book(requests[start : start + PAGE], [])
        for start in range(0, len(outcomes), PAGE):
            await books.book([], outcomes[start : start + PAGE])
        if await audit.digest() != before:
            found.append(Violation("out of balance", "replay", "a replay changed the books"))
        return found
    finally:
        await database.close()
        client.close()


def _raw(fields: dict[str, str]) -> dict[str, bytes]:
    return {name: value.encode(errors="surrogateescape") for name, value in fields.items()}
