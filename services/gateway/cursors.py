"""Cursors: where a page of a list ended, as text that a client only hands back.

A cursor carries a digest of its place and of the filters it was made for. It is no secret: what a
customer may see follows from the key alone, so a forged cursor is another place in the own list.
"""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from hashlib import blake2b
from typing import Final
from uuid import UUID

import msgspec

from shared.contracts.errors import InvalidRequest
from shared.contracts.peers import Place, TopupFilter

_LAYOUT: Final = struct.Struct(">Bq16s")  # version, milliseconds, id
_VERSION: Final = 1
_DIGEST_BYTES: Final = 8


def cursor_at(place: Place, wanted: TopupFilter) -> str:
    """Return the cursor that goes on after the place, for the same filters only."""
    packed = _LAYOUT.pack(_VERSION, place.at_ms, UUID(place.topup_id).bytes)
    return urlsafe_b64encode(packed + _digest(packed, wanted)).decode()


def place_at(cursor: str, wanted: TopupFilter) -> Place:
    """Return the place that the cursor was made for.

    Raises:
        InvalidRequest: not a cursor of ours, or one of other filters.
    """
    try:
        raw = urlsafe_b64decode(cursor.encode())
    except (NotBase64, ValueError):
        raise _refused() from None
    packed, digest = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
    if digest != _digest(packed, wanted) or urlsafe_b64encode(raw).decode() != cursor:
        raise _refused()
    _, at_ms, topup_id = _LAYOUT.unpack(packed)
    return Place(at_ms, str(UUID(bytes=topup_id)))


def _digest(packed: bytes, wanted: TopupFilter) -> bytes:
    filters = msgspec.json.encode(msgspec.structs.astuple(wanted))
    return blake2b(packed + filters, digest_size=_DIGEST_BYTES).digest()


def _refused() -> InvalidRequest:
    return InvalidRequest(
        "cursor is not one that was given with these filters; take next_cursor of the page before, "
        "with the same filters, or leave it out for the first page; for example ?limit=50"
    )
