"""The demo's customer and keys: drawn at the first run, kept in demo.env for all later ones."""

import secrets
from collections.abc import Mapping
from typing import Final

import msgspec

from ops.supervisor.folder import Folder, read_assignments, write_private
from services.ledger.evidence import draw_signing_key
from shared.contracts.keys import draw_key, hash_of, shown_of

CUSTOMER_ID: Final = "ENVIADESPENSA_001"
MERCHANT: Final = "enviadespensa"


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody needs to sell the first topup."""

    url: str
    api_key: str
    admin_key: str

    def seed(self) -> bytes:
        """Return what the ledger is told: the key itself never leaves this machine."""
        return msgspec.json.encode(
            {
                "customer_id": CUSTOMER_ID,
                "merchant": MERCHANT,
                "key_sha256": hash_of(self.api_key),
                "prefix": shown_of(self.api_key),
            }
        )

    def assignments(self) -> str:
        """Return what a shell reads to sell with them."""
        return "".join(f"{name}={value}\n" for name, value in self.variables().items())

    def variables(self) -> dict[str, str]:
        """Return the commands' variables."""
        return {
            "TOPUP_URL": self.url,
            "TOPUP_API_KEY": self.api_key,
            "TOPUP_CUSTOMER_ID": CUSTOMER_ID,
            "TOPUP_ADMIN_KEY": self.admin_key,
        }


def demo(folder: Folder, environ: Mapping[str, str], *, url: str) -> Demo:
    """Return the demo's keys and leave them in demo.env; ADMIN_KEY of the environment wins."""
    kept = read_assignments(folder.demo)
    keys = Demo(
        url=url,
        api_key=kept.get("TOPUP_API_KEY") or draw_key(),
        admin_key=environ.get("ADMIN_KEY")
        or kept.get("TOPUP_ADMIN_KEY")
        or f"admin_{secrets.token_urlsafe(30)}",
    )
    if kept != keys.variables():
        write_private(folder.demo, keys.assignments())
    return keys


def evidence_key(folder: Folder) -> str:
    """Return the key that this machine's ledger signs evidence with."""
    if not folder.evidence_key.exists():
        write_private(folder.evidence_key, draw_signing_key())
    return folder.evidence_key.read_text()
