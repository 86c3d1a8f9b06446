"""The attempts that settled nothing, as they travel with a topup until it ends: a line each.

A line is the server's time in milliseconds, a space, and a JSON array that starts with its tag.
"""

from typing import Any, Final

import msgspec

RAW_CHARACTERS_MAX: Final = 300
"""Of an answer that did not settle the topup; the one that did is kept whole in its evidence."""


class Try(msgspec.Struct, frozen=True, kw_only=True, array_like=True, omit_defaults=True, tag="a1"):
    """One attempt, and what it found out; `silent`: its owner was never heard of again."""

    attempt: int
    mode: str  # send, inquire, inquire_final
    answer: str  # delivered, refused, not_sent, unknown, not_found, silent
    code: str | None = None  # the provider's own
    raw: Any = None  # the provider's answer, masked and bounded
    by: str | None = None  # the owner of the attempt
    elapsed_ms: int | None = None


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A try, and when it was over, by the clock of the streams' server."""

    at_ms: int
    tried: Try


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Try)


def encode_try(tried: Try) -> bytes:
    """Return the line, without the time: the server writes it down."""
    return _encoder.encode(tried)


def decode_tries(lines: bytes) -> list[Tried]:
    """Read them back, in the order of time.

    Raises:
        ValueError, msgspec.MsgspecError: these bytes are something else.
    """
    found = []
    for line in lines.splitlines():
        at_ms, _, said = line.partition(b" ")
        if not at_ms.isdigit():
            raise ValueError(f"{at_ms[:32]!r} is not a time")
        found.append(Tried(at_ms=int(at_ms), tried=_decoder.decode(said)))
    return found
