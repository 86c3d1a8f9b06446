"""Valid samples, broken: bytes changed, cut, repeated, spliced, and replaced by what hurts.

Not by hypothesis: what it draws must be described, and the grammar is what must not be assumed.
"""

import random
import time
from collections.abc import Iterator, Sequence
from typing import Final

from tests.fuzz.budget import SEED

MUTATIONS_MAX: Final = 4
BYTES_MAX: Final = 100_000

HURTS: Final = (
    b"", b"\0", b"\xff", b"\xed\xa0\x80", b"\xc2\xb2", b"\xd9\xa1", b"\xe2\x80\xae", b"\\u0000",
    b"\\ud800", b"\r\n", b"\n", b"\t", b" ", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b":", b",",
    b"-", b"+", b".", b"=", b"&", b"%", b"%00", b"%ff", b"0", b"-0", b"1e999", b"1e-999", b"NaN",
    b"Infinity", b"null", b"true", b"{}", b"[]", b'""', b"9" * 20, b"9" * 5_000, b"-1", b"0.1",
    b"[" * 5_000, b'{"a":' * 5_000, b"x" * 70_000, b"2147483648", b"9223372036854775808",
    b"18446744073709551616", b"253402300800000",
)  # fmt: skip


def mutants(samples: Sequence[bytes], *, name: str) -> Iterator[bytes]:
    """Yield the samples, then broken ones without end; the same ones for the same seed."""
    chance = random.Random(f"{SEED}-{name}")
    yield from samples
    while True:
        broken = bytearray(chance.choice(samples))
        for _ in range(chance.randint(1, MUTATIONS_MAX)):
            _break(broken, chance, samples)
        yield bytes(broken[:BYTES_MAX])


def within(seconds: float, inputs: Iterator[bytes]) -> Iterator[bytes]:
    """Yield inputs for so long."""
    deadline = time.monotonic() + seconds
    for each in inputs:
        yield each
        if time.monotonic() > deadline:
            return


def _break(data: bytearray, chance: random.Random, samples: Sequence[bytes]) -> None:
    place = chance.randrange(len(data) + 1)
    end = min(place + chance.choice((1, 1, 2, 8, 64)), len(data))
    match chance.randrange(6):
        case 0:
            data[place:place] = chance.choice(HURTS)
        case 1:
            data[place:end] = chance.choice(HURTS)
        case 2:
            data[place:end] = chance.randbytes(end - place)
        case 3:
            del data[place:end]
        case 4:
            data[place:place] = data[end : end + 64]
        case _:
            other = chance.choice(samples)
            start = chance.randrange(len(other) + 1)
            data[place:end] = other[start : start + 64]
