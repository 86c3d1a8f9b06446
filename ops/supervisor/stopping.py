"""Turns signals into a stop, two of them into one: a terminal and make both send one."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Final

from ops.supervisor.fleet import Fleet

_FORCED_BY: Final = 3


class Stopping:
    """`asked` is set by the first signal; the third calls `force`."""

    def __init__(self, say: Callable[[str], None], force: Callable[[], None]) -> None:
        self.asked = asyncio.Event()
        self._say = say
        self._force = force
        self._count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)

    async def unless_asked(self, work: Coroutine[None, None, None]) -> bool:
        """Do the work, and tell whether it was done; a stop asked for meanwhile cancels it."""
        doing = asyncio.ensure_future(work)
        waiting = asyncio.ensure_future(self.asked.wait())
        try:
            await asyncio.wait({doing, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                doing.result()
            return doing.done()
        finally:
            waiting.cancel()
            doing.cancel()
            await asyncio.gather(doing, waiting, return_exceptions=True)

    def _signalled(self) -> None:
        self._count += 1
        if self._count == 1:
            self._say("\nstopping: what is in flight is finished first …")
            self.asked.set()
        elif self._count < _FORCED_BY:
            self._say("still finishing; one more ends everything at once")
        elif self._count == _FORCED_BY:
            self._say("ending everything at once")
            self._force()


async def drain_in_order(fleet: Fleet, groups: Iterable[Iterable[str]]) -> AsyncIterator[str]:
    """Drain one group of services after the other; yield each replica that had to be killed."""
    fleet.close()
    for names in groups:
        for killed in await fleet.drain(names):
            yield killed
