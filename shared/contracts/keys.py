"""API keys: how one is drawn, what of it may be kept or shown, and what it may be for.

A key is `topup_`, 33 random letters and digits (196 bits), and a checksum of 6: whoever finds one
in a repository or a log can tell that it is a key without asking anybody.
"""

import re
import secrets
from hashlib import sha256
from typing import Final
from zlib import crc32

WRITE: Final = "topup:write"
READ: Final = "topup:read"
SCOPES: Final = (WRITE, READ)

PATTERN: Final = r"topup_[0-9A-Za-z]{39}"
PREFIX: Final = "topup_"
OPERATOR_PREFIX: Final = "operator_"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH: Final = 33
_CHECKSUM_LENGTH: Final = 6
_SHOWN_LENGTH: Final = 12
"""Half of it is random: what stays unknown is above 160 bits."""
_ID_LENGTH: Final = 12
_PATTERN: Final = re.compile(PATTERN)


def draw_key(prefix: str = PREFIX) -> str:
    """Return a new key; whoever draws it shows it once, and keeps `hash_of` it."""
    return sealed(prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH)))


def sealed(text: str) -> str:
    """Append the CRC-32 of all characters before it, in base 62."""
    rest, digits = crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return text + digits


def is_well_formed(text: str) -> bool:
    """Tell whether this could have been drawn here; keys from before this form still work."""
    return _PATTERN.fullmatch(text) is not None and sealed(text[:-_CHECKSUM_LENGTH]) == text


def hash_of(key: str) -> str:
    """Return the SHA-256, in hex: all that is ever kept of a key, but for `shown_of`."""
    return sha256(key.encode()).hexdigest()


def shown_of(key: str) -> str:
    """Return the key's first characters, to recognise it by."""
    return key[:_SHOWN_LENGTH]


def id_of(key_sha256: str) -> str:
    """Return what operators call the key: the start of its hash, no part of the secret."""
    return key_sha256[:_ID_LENGTH]
