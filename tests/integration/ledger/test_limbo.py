"""How much money is in limbo, as the gauge tells it: by currency and by how long."""

import time

import pytest
from msgspec import structs
from prometheus_client import REGISTRY

from services.ledger.books import Books
from services.ledger.database import Database
from services.ledger.proposals import Proposals
from shared.contracts.states import State
from tests.integration.ledger.entries import outcome, request

pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def gauge(currency: str) -> dict[str, float | None]:
    """Return what is scraped of a currency."""
    return {
        age: REGISTRY.get_sample_value(
            "topup_limbo_minor_units", {"currency": currency, "age": age}
        )
        for age in ("1h", "1d", "7d", "older")
    }


async def in_limbo(books: Books, ages_ms: dict[int, int]) -> None:
    """Book a topup in limbo for each number, since so long; 10.00 each, odd ones in pesos."""
    now_ms = time.time_ns() // 1_000_000
    outcomes = [
        structs.replace(outcome(number, State.UNRESOLVED), settled_at_ms=now_ms - age_ms)
        for number, age_ms in ages_ms.items()
    ]
    await books.book([request(number) for number in ages_ms], outcomes)


async def test_the_gauge_tells_money_by_currency_and_age(database: Database, books: Books) -> None:
    """An age that has none is 0; a currency that has left limbo is told no more."""
    await in_limbo(books, {1: 0, 3: HOUR_MS // 2, 5: 2 * HOUR_MS, 7: 30 * DAY_MS, 2: 2 * DAY_MS})
    await Proposals(database).limbo()
    assert gauge("MXN") == {"1h": 2_000, "1d": 1_000, "7d": 0, "older": 1_000}
    assert gauge("USD") == {"1h": 0, "1d": 0, "7d": 1_000, "older": 0}
    await books.book([], [outcome(2, State.FAILED, seq=2)])
    await Proposals(database).limbo()
    assert gauge("USD") == dict.fromkeys(("1h", "1d", "7d", "older"))
    assert gauge("MXN") == {"1h": 2_000, "1d": 1_000, "7d": 0, "older": 1_000}
