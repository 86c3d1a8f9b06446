"""Makes evidence small while it lies in memory: deflate, told beforehand what providers say.

A packed text begins with a byte that names the dictionary; no JSON does. The ledger reads
both forms.
"""

import zlib
from typing import Final

_MARK: Final = b"\x01"
_USUAL: Final = (
    b'"status":"NotFound","status":"Pending","code":"","message":"'
    b'["e1",null,"","http_{"status":"Fail","transId":"","venTransid":"",'
    b'"vendorResponseCode":"","vendorResponseMsg":"Transaction rejected","distTransid":"'
    b'{"status":"Success","transId":"","venTransid":"V","vendorResponseCode":"0",'
    b'"vendorResponseMsg":"Transaction successful","distTransid":"01a0"},"dispatcher-1#",1]'
)
"""The dictionary of mark 1. Never change it: what was packed with it could not be read again."""
_WINDOW_BITS: Final = -11  # raw deflate; the usual, and an evidence, fit into such a window
_MEMORY_LEVEL: Final = 5
TEXT_BYTES_MAX: Final = 65_536


def pack(text: bytes) -> bytes:
    """Return the text in fewer bytes, or as it is where that would not help."""
    if len(text) > TEXT_BYTES_MAX:
        return text
    machine = zlib.compressobj(
        level=6,
        method=zlib.DEFLATED,
        wbits=_WINDOW_BITS,
        memLevel=_MEMORY_LEVEL,
        zdict=_USUAL,
    )
    packed = _MARK + machine.compress(text) + machine.flush()
    return packed if len(packed) < len(text) or text.startswith(_MARK) else text


def unpack(packed: bytes) -> bytes:
    """Return the text again.

    Raises:
        ValueError: it was packed, but not like this, or it is longer than what is ever packed.
    """
    if not packed.startswith(_MARK):
        return packed
    machine = zlib.decompressobj(_WINDOW_BITS, zdict=_USUAL)
    try:
        text = machine.decompress(packed[len(_MARK) :], TEXT_BYTES_MAX)
    except zlib.error as problem:
        raise ValueError(f"packed in another way: {problem}") from None
    if not machine.eof or machine.unused_data:
        raise ValueError("packed, but not whole")
    return text
