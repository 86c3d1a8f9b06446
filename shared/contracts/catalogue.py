"""What can be sold: each provider's country, currency and products, as data, in one place."""

from typing import Final

import msgspec

from shared.contracts.errors import InvalidAmount, InvalidRequest, UnknownProvider


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One product: the amounts it takes, in minor units, and the tax inside its price."""

    id: str
    minor_min: int
    minor_max: int
    minor_step: int = 1
    tax_percent: int = 0

    def takes(self, amount_minor: int) -> bool:
        """Tell whether this product can be sold at the amount."""
        inside = self.minor_min <= amount_minor <= self.minor_max
        return inside and amount_minor % self.minor_step == 0

    def without_tax(self, amount_minor: int) -> int:
        """Return the price without the tax inside it; half a minor unit goes up."""
        parts = 100 + self.tax_percent
        return (2 * 100 * amount_minor + parts) // (2 * parts)


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What one provider sells, and where."""

    provider: str
    country: str
    currency: str
    amounts: str  # the sentence for the merchant whose amount fits nothing
    products: tuple[Product, ...]


OFFERS: Final = {
    "LATCOM": Offer(
        provider="LATCOM",
        country="MX",
        currency="MXN",
        amounts="10, 20, or whole pesos from 30 to 2000",
        products=(
            Product(id="XOOM_10_MXN", minor_min=1_000, minor_max=1_000),
            Product(id="XOOM_20_MXN", minor_min=2_000, minor_max=2_000),
            Product(
                id="TFE_MXN_20_TO_2000",
                minor_min=3_000,
                minor_max=200_000,
                minor_step=100,
                tax_percent=16,
            ),
        ),
    ),
    "RELOADLY": Offer(
        provider="RELOADLY",
        country="MX",
        currency="MXN",
        amounts="whole pesos from 10 to 2000, as far as the phone's operator takes them",
        products=(
            Product(
                id="RELOADLY_MXN_10_TO_2000", minor_min=1_000, minor_max=200_000, minor_step=100
            ),
        ),
    ),
    "DTONE": Offer(
        provider="DTONE",
        country="MX",
        currency="MXN",
        amounts="whole pesos from 10 to 2000, as far as the product behind it takes them",
        products=(
            Product(id="DTONE_MXN_10_TO_2000", minor_min=1_000, minor_max=200_000, minor_step=100),
        ),
    ),
}


def offer_of(provider: str) -> Offer:
    """Return what the provider sells.

    Raises:
        UnknownProvider: nobody has this name.
    """
    offer = OFFERS.get(provider)
    if offer is None:
        known = ", ".join(OFFERS)
        raise UnknownProvider(f"provider {provider[:32]!r} is not known; known: {known}")
    return offer


def product_for(offer: Offer, amount_minor: int, wanted: str | None = None) -> Product:
    """Return the product that sells this amount, or the wanted one if it does.

    Raises:
        InvalidAmount: no product, or not the wanted one, takes the amount.
        InvalidRequest: the wanted product does not exist.
    """
    ids = [product.id for product in offer.products]
    if wanted is not None and wanted not in ids:
        raise InvalidRequest(f"product {wanted[:64]!r} is not one of {', '.join(ids)}")
    for product in offer.products:
        if product.takes(amount_minor) and wanted in (None, product.id):
            return product
    suffix = f" as {wanted}" if wanted else ""
    raise InvalidAmount(f"amount is not sold by {offer.provider}{suffix}; it sells {offer.amounts}")
