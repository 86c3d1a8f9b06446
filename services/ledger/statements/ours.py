"""The topups that a statement of a day should have, read from the books as one stream."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from services.ledger.database import Connection, Database
from services.ledger.queries import queries
from services.ledger.statements.tables import Sold
from shared.contracts.catalogue import Offer
from shared.contracts.states import State

_IDS_AT_ONCE: Final = 10_000
_STATES: Final = {state.value: state for state in State}


class Span(msgspec.Struct, frozen=True):
    """When topups of one provider were accepted: the day, and what is near it."""

    provider: str
    near_from_ms: int
    from_ms: int
    to_ms: int
    near_to_ms: int


async def sold_in(
    database: Database, span: Span, owed: Callable[[str, int], int]
) -> AsyncIterator[Sold]:
    """Yield all topups of the span, as they are at one moment; `owed` takes product and price.

    Raises:
        psycopg.Error: the books cannot be read.
    """
    between = {
        "provider": span.provider,
        "from_ms": span.near_from_ms,
        "to_ms": span.near_to_ms,
    }
    async with database.connection(within_s=None) as connection, connection.transaction():
        async for row in _copied(connection, "sold_between", between):
            yield _sold(row, span, owed)


async def sold_as(
    database: Database, ids: Sequence[bytes], span: Span, owed: Callable[[str, int], int]
) -> AsyncIterator[Sold]:
    """Yield those of the topups that are booked for the provider, whenever they were accepted."""
    async with database.connection(within_s=None) as connection, connection.transaction():
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = [UUID(bytes=each) for each in ids[start : start + _IDS_AT_ONCE]]
            given = {"provider": span.provider, "topup_id": some}
            async for row in _copied(connection, "sold_as", given):
                yield _sold(row, span, owed)


def owed_by(offer: Offer, *, tax_inside: bool) -> Callable[[str, int], int]:
    """Return what makes a product and its price what the provider asks for it."""
    if tax_inside:
        return lambda _product, price: price
    products = {product.id: product for product in offer.products}

    def owed(product: str, price: int) -> int:
        found = products.get(product)
        return price if found is None else found.without_tax(price)

    return owed


async def _copied(
    connection: Connection, query: str, given: dict[str, Any]
) -> AsyncIterator[Sequence[Any]]:
    await connection.execute("SET TRANSACTION READ ONLY")
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '10min'")
    await connection.execute("SET LOCAL statement_timeout = '10min'")
    async with connection.cursor().copy(queries()[query], given) as copy:
        async for row in copy.rows():
            yield row


def _sold(row: Sequence[str], span: Span, owed: Callable[[str, int], int]) -> Sold:
    topup_id, transaction, phone, price, currency, product, status, accepted_at_ms = row
    at_ms = int(accepted_at_ms)
    return Sold(
        topup_id=bytes.fromhex(topup_id.replace("-", "")),
        transaction=transaction,
        phone=int(phone),
        owed_minor=owed(product, int(price)),
        currency=currency,
        state=_STATES[status],
        accepted_at_ms=at_ms,
        counts=span.from_ms <= at_ms < span.to_ms,
    )
