"""A provider of another country and currency beside the ones of Mexico: what AUTO makes of it."""

import json
from typing import Any

import pytest

from services.gateway.merchant.rules import Order, read_order
from shared.contracts.catalogue import OFFERS, Offer, Product
from shared.contracts.errors import InvalidPhone, InvalidRequest

NORTH = Offer(
    provider="NORTH",
    country="US",
    currency="USD",
    amounts="whole dollars from 5 to 100",
    products=(Product(id="NORTH_USD", minor_min=500, minor_max=10_000, minor_step=100),),
)
OF_BOTH = "3312345678"
"""Ten digits that are a phone of Guadalajara, and one of Illinois."""


@pytest.fixture(autouse=True)
def _offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OFFERS, "NORTH", NORTH)


def order(phone: str, **changes: Any) -> Order:
    """Read a request for any provider."""
    asked = {"phone": phone, "amount": 10, "provider": "AUTO"} | changes
    return read_order(
        json.dumps(asked).encode(),
        customer_id="C",
        key_header=None,
        providers=("LATCOM", "NORTH", "RELOADLY"),
    )


@pytest.mark.parametrize(
    ("phone", "given", "place", "route"),
    [
        ("+523312345678", {}, ("+523312345678", "MX", "MXN"), {"LATCOM", "RELOADLY"}),
        ("+13312345678", {}, ("+13312345678", "US", "USD"), {"NORTH"}),
        (OF_BOTH, {"country": "US"}, ("+13312345678", "US", "USD"), {"NORTH"}),
        (OF_BOTH, {"currency": "MXN"}, ("+523312345678", "MX", "MXN"), {"LATCOM", "RELOADLY"}),
        (OF_BOTH, {"provider": "NORTH"}, ("+13312345678", "US", "USD"), None),
    ],
)
def test_a_phone_is_of_its_country_and_priced_in_its_currency(
    phone: str, given: dict[str, str], place: tuple[str, str, str], route: set[str] | None
) -> None:
    """Only providers that sell there are on the route; country or currency is enough to say it."""
    request = order(phone, **given).request
    assert (request.phone, request.country, request.currency) == place
    assert (None if request.route is None else set(request.route)) == route


def test_a_phone_that_could_be_of_two_countries_is_asked_back() -> None:
    """Money in the wrong currency, to a stranger, is what must not happen."""
    with pytest.raises(InvalidRequest, match="could be of MX, US"):
        order(OF_BOTH)


def test_what_does_not_fit_together_is_refused() -> None:
    """The country of one and the currency of another, or another country's phone."""
    with pytest.raises(InvalidRequest, match="is not s"):
        order(OF_BOTH, country="US", currency="MXN")
    with pytest.raises(InvalidPhone):
        order("+523312345678", country="US")
