"""How many topups of one lane this replica has in flight, and room for how many more."""

import asyncio


class Slots:
    """`size` places; a reader waits for room, a waiting topup for a place of its own."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._freed = asyncio.Event()

    @property
    def free(self) -> int:
        """Places not taken."""
        return self._free

    def taken(self) -> int:
        """Return how many topups are in flight."""
        return self.size - self._free

    async def room(self) -> int:
        """Wait until a place is free; return how many are."""
        while self._free <= 0:
            self._freed.clear()
            await self._freed.wait()
        return self._free

    async def take(self) -> None:
        """Wait for a place and take it."""
        await self.room()
        self._free -= 1

    def take_now(self) -> bool:
        """Take a place if one is free; tell whether it was."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """Free a place."""
        self._free += 1
        self._freed.set()
