"""Compares each booked row with the digest of the entry that it was read from."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec

from services.ledger.database import Connection
from services.ledger.entries import outcome_digest, request_digest
from services.ledger.queries import queries
from shared.contracts.events import AUTO, TopupRequested, encode

_PAGE_ROWS: Final = 2_000


async def altered(connection: Connection) -> tuple[int, str | None]:
    """Return how many rows are not what was read, and the first of them; within a transaction."""
    count, example = 0, None
    for query, digest_of in _DIGESTS.items():
        async for row in _rows(connection, query):
            topup_id, digest, *columns = row
            if digest_of(*columns) != digest:
                count, example = count + 1, example or topup_id
    return count, example


async def _rows(connection: Connection, query: str) -> AsyncIterator[tuple[Any, ...]]:
    """Read page by page: the books do not fit into memory."""
    async with connection.cursor(name=query) as cursor:
        cursor.itersize = _PAGE_ROWS
        await cursor.execute(queries()[query])
        async for row in cursor:
            yield row


def _request(at_ms: int, metadata: str | None, route: str | None, *columns: Any) -> bytes:  # noqa: ANN401 - as the query gives them
    customer_id, phone, country, amount_minor, currency, provider, product, reference = columns
    body = TopupRequested(
        customer_id=customer_id,
        phone=phone,
        country=country,
        amount_minor=amount_minor,
        currency=currency,
        provider=provider if route is None else AUTO,
        product=product,
        reference=reference,
        metadata=None if metadata is None else msgspec.json.decode(metadata),
        route=None if route is None else msgspec.json.decode(route),
    )
    return request_digest(encode(body), at_ms)


def _outcome(
    state: str,
    reason: str | None,
    evidence: str | None,
    tried: str | None,
    provider: str | None,
) -> bytes:
    said = ((text or "").encode() for text in (evidence, tried, provider))
    return outcome_digest(state, reason or "", *said)


_DIGESTS: Final[dict[str, Callable[..., bytes]]] = {
    "requests_as_read": _request,
    "outcomes_as_read": _outcome,
}
