"""LATCOM's requests and answers, as this side of the wire writes and reads them."""

import re
from decimal import Decimal
from typing import Final

import msgspec

_PHONE: Final = re.compile(r"[0-9]{10}")
_RANGE: Final = "TFE_MXN_20_TO_2000"
_FIXED: Final = {"XOOM_10_MXN": Decimal(10), "XOOM_20_MXN": Decimal(20)}
_TAX: Final = Decimal("1.16")
_PESOS_MIN: Final = Decimal("19.99")
_PESOS_MAX: Final = Decimal("2000.01")
REFERENCE_CHARS_MAX: Final = 128


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/dislogin`."""

    username: str
    password: str
    dist_api: str
    user_uid: str


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`POST /api/tn/fast`."""

    target_msisdn: str = msgspec.field(name="targetMSISDN")
    dist_transid: str = msgspec.field(name="dist_transid")
    operator: str
    country: str
    currency: str
    amount: Decimal
    product_id: str
    sku_id: str = msgspec.field(name="skuID")
    service: int

    def is_well_formed(self) -> bool:
        """Tell whether this is an order at all; a wrong amount is refused, not unreadable."""
        return (
            _PHONE.fullmatch(self.target_msisdn) is not None
            and 0 < len(self.dist_transid) <= REFERENCE_CHARS_MAX
            and self.amount > 0
        )

    def is_sold(self) -> bool:
        """Tell whether the product exists at this amount; the range's has the tax taken out."""
        if (self.country, self.currency) != ("MEXICO", "MXN"):
            return False
        if self.product_id == _RANGE:
            return _PESOS_MIN < self.amount * _TAX < _PESOS_MAX
        return _FIXED.get(self.product_id) == self.amount


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What both say, success and failure alike, with HTTP 200."""

    status: str
    transaction: str = msgspec.field(name="transId", default="")
    vendor_transaction: str = msgspec.field(name="venTransid", default="")
    code: str = msgspec.field(name="vendorResponseCode", default="")
    message: str = msgspec.field(name="vendorResponseMsg", default="")
    reference: str = msgspec.field(name="distTransid", default="")


def success(reference: str, transaction: str) -> Result:
    """Return the answer that tells of a payment."""
    return Result(
        status="Success",
        transaction=transaction,
        vendor_transaction=f"V{transaction}",
        code="0",
        message="Transaction successful",
        reference=reference,
    )


def fail(reference: str, code: str, message: str) -> Result:
    """Return the answer that tells of a refusal."""
    return Result(status="Fail", code=code, message=message, reference=reference)
