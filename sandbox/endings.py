"""What the last three digits of a phone do to its topup: all of the sandbox's tricks, as data."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

Reply = Literal["told", "late", "error", "cut", "rubbish", "nameless"]


class Refusal(msgspec.Struct, frozen=True):
    """A definite no, in the sandbox's own codes, which no real provider's can be mistaken for."""

    code: str
    message: str


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a call: is it paid, and what does the caller get to hear.

    `refused_times`: so often for each reference, then paid; None: always.
    """

    pays: bool = True
    refusal: Refusal | None = None
    refused_times: int | None = None
    from_wallet: bool = False
    reply: Reply = "told"
    slow: bool = False


REFUSED: Final = Refusal("SBX_REFUSED", "The number cannot be topped up")
TRY_AGAIN: Final = Refusal("SBX_TRY_AGAIN", "The operator is busy, try again later")
WALLET_EMPTY: Final = Refusal("SBX_WALLET_EMPTY", "The distributor's balance is not sufficient")
NOT_SOLD: Final = Refusal("SBX_NOT_SOLD", "This product is not sold at this amount")

CREDITED: Final = Ending()
ENDINGS: Final[Mapping[str, Ending]] = {
    "901": Ending(refusal=REFUSED),
    "902": Ending(refusal=TRY_AGAIN, refused_times=2),
    "903": Ending(reply="late"),
    "904": Ending(reply="error"),
    "905": Ending(reply="cut"),
    "906": Ending(pays=False, reply="cut"),
    "907": Ending(from_wallet=True),
    "908": Ending(reply="rubbish"),  # and it paid: rubbish must not pass for a no
    "909": Ending(slow=True),
    "910": Ending(reply="nameless"),  # a refusal that names no reference; and it paid
}


def ending_of(phone: str) -> Ending:
    """Return what the phone's last digits ask for; most are simply credited."""
    return ENDINGS.get(phone[-3:], CREDITED)
