"""A sale and an attempt as the dispatcher hands them to an adapter."""

import secrets

import msgspec

from services.dispatcher.providers.latcom import LatcomSettings
from services.dispatcher.providers.sandbox import SandboxLatcom
from tests.contract.providers.sandboxes import ACCESS

NATIONAL = "5512345"


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter needs of a topup."""

    topup_id: str
    phone: str
    country: str = "MX"
    amount_minor: int = 1_000
    currency: str = "MXN"
    product: str = "XOOM_10_MXN"


class Attempt:
    """A right to send that counts its questions; it answers `rights`, the last one repeatedly."""

    number = 1

    def __init__(self, reference: str, *rights: bool) -> None:
        self.reference = reference
        self._rights = list(rights) or [True]
        self.looked = 0
        self.sent = 0

    def may_send(self) -> bool:
        """Answer as told."""
        self.looked += 1
        return self._rights.pop(0) if len(self._rights) > 1 else self._rights[0]

    def was_sent(self) -> None:
        """Count."""
        self.sent += 1


def sale(ending: str = "123", *, topup_id: str = "", **fields: object) -> Sale:
    """Return a sale to a phone with this ending."""
    wanted = {
        "topup_id": topup_id or f"topup-{secrets.token_hex(8)}",
        "phone": f"+52{NATIONAL}{ending}",
        **fields,
    }
    return msgspec.convert(wanted, Sale)


def sandbox_latcom(url: str, *, dedupes: bool = False, inquiry: bool = False) -> SandboxLatcom:
    """Return the adapter of the sandbox in LATCOM's place."""
    access = LatcomSettings(
        url=url,
        username=ACCESS["LATCOM_USERNAME"],
        password=ACCESS["LATCOM_PASSWORD"],
        dist_api=ACCESS["LATCOM_DIST_API"],
        user_uid=ACCESS["LATCOM_USER_UID"],
        timeout_ms=1_000,
    )
    return SandboxLatcom(access, dedupes=dedupes, inquiry=inquiry)
