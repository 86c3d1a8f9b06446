"""Places in long columns, chosen and split: only a part at a time goes into dictionaries."""

from array import array
from collections.abc import Callable, Sequence
from typing import Final
from zlib import crc32

_PARTS: Final = 16
"""Dictionaries are what takes memory: a sixteenth of it."""


def where(count: int, wanted: Callable[[int], bool]) -> Sequence[int]:
    """Return the places below `count` that are wanted."""
    return array("i", filter(wanted, range(count)))


def parts_of(places: Sequence[int], key: Callable[[int], bytes]) -> Sequence[Sequence[int]]:
    """Return all places in some parts; those with equal keys are together."""
    parts = [array("i") for _ in range(_PARTS)]
    for place in places:
        parts[crc32(key(place)) % _PARTS].append(place)
    return parts
