"""The JSON that a merchant sends, field by field; `rules` says what of it is possible."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw

from services.gateway.merchant.phones import WRITTEN_PATTERN
from shared.contracts.catalogue import OFFERS
from shared.contracts.events import AUTO, METADATA_BYTES_MAX
from shared.contracts.money import AMOUNT_PATTERN

KEY_CHARACTERS_MAX: Final = 255
METADATA_DEPTH_MAX: Final = 16
KEY_PATTERN: Final = f"^[!-~]{{1,{KEY_CHARACTERS_MAX}}}$"

_Phone = Annotated[
    str,
    Meta(
        description="National digits or E.164, valid for the country.",
        examples=["5566374683", "+525566374683"],
        extra_json_schema={"pattern": f"^{WRITTEN_PATTERN}$"},
    ),
]
_Amount = Annotated[
    Raw,
    Meta(
        description="A JSON number, or a string with the same digits; above 0, at most 2 decimals. "
        "It is read exactly, never through a binary float.",
        examples=[10, "50.00"],
        extra_json_schema={
            "type": ["number", "string"],
            "exclusiveMinimum": 0,
            "pattern": f"^{AMOUNT_PATTERN.pattern}$",
        },
    ),
]
_Key = Annotated[
    str,
    Meta(
        description="An idempotency key in the body; it must not differ from the header's.",
        examples=["order-4711"],
        extra_json_schema={"pattern": KEY_PATTERN},
    ),
]
_Provider = Annotated[
    str,
    Meta(
        description="AUTO: any that sells it; another one where the first surely has not paid.",
        extra_json_schema={"enum": [AUTO, *OFFERS]},
    ),
]
_Currency = Annotated[
    str,
    Meta(
        description="The provider's, if it is not given.",
        extra_json_schema={"enum": sorted({offer.currency for offer in OFFERS.values()})},
    ),
]
_Country = Annotated[
    str,
    Meta(
        description="The provider's, if it is not given.",
        extra_json_schema={"enum": sorted({offer.country for offer in OFFERS.values()})},
    ),
]
_Product = Annotated[
    str,
    Meta(
        description="The first one that is sold at the amount, if it is not given.",
        extra_json_schema={"enum": [one.id for offer in OFFERS.values() for one in offer.products]},
    ),
]
_Metadata = Annotated[
    dict[str, Any],
    Meta(
        description="Yours, given back as it was sent; at most "
        f"{METADATA_BYTES_MAX} bytes as JSON, and {METADATA_DEPTH_MAX} levels.",
        examples=[{"till": 3}],
    ),
]


class TopupBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A topup to be made."""

    phone: _Phone
    amount: _Amount  # it stays text until it is read exactly
    provider: _Provider
    currency: _Currency | None = None
    country: _Country | None = None
    product: _Product | None = None
    reference: _Key | None = None
    metadata: _Metadata | None = None
