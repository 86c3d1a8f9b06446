"""Whether a provider sells what a body asks for: place, phone, amount and product, normalised."""

from collections.abc import Sequence
from typing import Final

import msgspec

from services.gateway.merchant.amounts import amount_text
from services.gateway.merchant.bodies import TopupBody
from services.gateway.merchant.phones import e164
from shared.contracts.catalogue import Offer, offer_of, product_for
from shared.contracts.errors import InvalidAmount, InvalidPhone, InvalidRequest, TopupError
from shared.contracts.money import parse_amount

SHOWN_CHARACTERS_MAX: Final = 32
_NEAR: Final = (InvalidRequest, InvalidPhone, InvalidAmount)
"""What is refused, in the order in which it is looked at: the last is the nearest to a sale."""


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's sale; what is not its own is the same with each provider that may have it."""

    provider: str
    product: str
    phone: str
    country: str
    amount_minor: int
    currency: str

    @property
    def place(self) -> tuple[str, str, str, int]:
        """Return what must not depend on the provider."""
        return self.phone, self.country, self.currency, self.amount_minor


def fit(body: TopupBody, offer: Offer) -> Fit:
    """Return what the provider would sell.

    Raises:
        InvalidRequest, InvalidPhone, InvalidAmount: it does not sell that.
    """
    _check_place(body, offer)
    phone = e164(body.phone, offer.country)
    minor = parse_amount(amount_text(body.amount), offer.currency)
    return Fit(
        provider=offer.provider,
        product=product_for(offer, minor, body.product).id,
        phone=phone,
        country=offer.country,
        amount_minor=minor,
        currency=offer.currency,
    )


def fits(body: TopupBody, providers: Sequence[str]) -> list[Fit]:
    """Return all that would sell it, at least one, in the order in which they are named.

    Raises:
        InvalidRequest, InvalidPhone, InvalidAmount: none sells that, says the one that comes
            nearest; or it could be for phones of two countries.
    """
    found: list[Fit] = []
    refused: list[TopupError] = []
    for provider in providers:
        try:
            found.append(fit(body, offer_of(provider)))
        except _NEAR as problem:
            refused.append(problem)
    if not found:
        raise max(refused, key=lambda problem: _NEAR.index(type(problem)))
    places = dict.fromkeys(one.place for one in found)
    if len(places) > 1:
        meant = ", ".join(dict.fromkeys(one.country for one in found))
        raise InvalidRequest(
            f"the phone could be of {meant}: with provider AUTO give country and currency; "
            f'for example "country": "{found[0].country}"'
        )
    return found


def shown(text: str | None) -> str:
    """Return what was given, short enough for an error."""
    return repr((text or "")[:SHOWN_CHARACTERS_MAX])


def _check_place(body: TopupBody, offer: Offer) -> None:
    if body.country not in (None, offer.country):
        raise InvalidRequest(
            f"country {shown(body.country)} is not served by {offer.provider}; "
            f"for example {offer.country}"
        )
    if body.currency not in (None, offer.currency):
        raise InvalidRequest(
            f"currency {shown(body.currency)} is not sold by {offer.provider}; "
            f"for example {offer.currency}"
        )
