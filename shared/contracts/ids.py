"""Digests and owners: what identifies a request, a key and one life of one process."""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

_MANY_DIGITS: Final = re.compile(r"[0-9]{7,}")


def digest(*parts: str) -> str:
    """Return 22 characters (128 bits of SHA-256, base64url) that no other list of parts has.

    They lie five times in memory for each topup, so half of the hash is left out.
    """
    framed = "".join(f"{len(part)}:{part}" for part in parts)
    return urlsafe_b64encode(sha256(framed.encode()).digest()[:16]).rstrip(b"=").decode()


def fingerprint(
    *, phone: str, amount_minor: int, currency: str, provider: str, product: str
) -> str:
    """Return what makes two requests the same sale; all of it normalised before."""
    return digest(phone, str(amount_minor), currency, provider, product)


def owner_of(instance_id: str, boot_id: str) -> str:
    """Name one life of one process; a restarted process is another owner."""
    return f"{instance_id}#{boot_id}"


def mask_digits(text: str) -> str:
    """Keep the last two of any seven digits or more in a row: they may be a phone."""
    return _MANY_DIGITS.sub(lambda found: "*" * (len(found[0]) - 2) + found[0][-2:], text)


def mask_phone(phone: str) -> str:
    """Keep the country and the last two digits: enough to talk about, too little to misuse."""
    return f"{phone[:3]}{'*' * max(len(phone) - 5, 0)}{phone[-2:]}"
