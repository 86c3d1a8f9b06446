"""Reads any stretch of streams, page by page; no consumer group ever knows of it."""

from collections.abc import AsyncIterator, Iterable

import msgspec

from shared.bus.reader import Entry, read_rows
from shared.runtime.redis import Client


class Stretch(msgspec.Struct, frozen=True):
    """From entry to entry, both included; `-` and `+` are the ends of a stream."""

    first: str = "-"
    last: str = "+"

    def holds(self, entry: str) -> bool:
        """Tell whether the entry with this id lies in it."""
        after = self.first == "-" or place(self.first) <= place(entry)
        return after and (self.last == "+" or place(entry) <= place(self.last))


async def pages(
    client: Client, streams: Iterable[str], stretch: Stretch, *, count_max: int
) -> AsyncIterator[list[Entry]]:
    """Yield what lies in the stretch now, stream after stream; what comes later is left out."""
    for stream in streams:
        newest = await client.xrevrange(stream, stretch.last, stretch.first, count=1)
        start = stretch.first
        while newest:
            rows = await client.xrange(stream, start, newest[0][0], count=count_max)
            if not rows:
                break
            yield read_rows(stream, rows)
            start = f"({rows[-1][0].decode()}"


def place(entry: str) -> tuple[int, int]:
    """Return what entries are ordered by; an id without its second number is the first of them."""
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)
