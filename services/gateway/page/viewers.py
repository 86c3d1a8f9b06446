"""Who watches: all are shown the same frame, gathered once a second and only while somebody does.

A viewer has one place, not a queue: who takes frames slowly is shown fewer of them, and who takes
none is dropped. So none of them can hold anything up, nor let anything grow.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import structlog

from services.gateway import metrics
from services.gateway.page.looking import Looking
from services.gateway.refusals import Unavailable
from shared.runtime.background import end

VIEWERS_MAX: Final = 16
EACH_S: Final = 1.0

log = structlog.get_logger()
_encoder: Final = msgspec.json.Encoder()


def event(name: str, what: object) -> bytes:
    """Return an event of a stream of events; JSON has no line breaks that could end one."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encoder.encode(what))


class Viewer:
    """One who watches; holds at most the newest event, and `past`: what came before."""

    def __init__(self, past: bytes) -> None:
        self.past = past
        self._newest: bytes | None = None
        self._changed = asyncio.Event()
        self.may_go = False

    def show(self, newest: bytes) -> None:
        """Put it into the place; what was not taken yet is gone."""
        self._newest = newest
        self._changed.set()

    def let_go(self) -> None:
        """Tell that there will be no more."""
        self.may_go = True
        self._changed.set()

    async def take(self) -> bytes | None:
        """Return the newest, once there is one; None: there will be no more."""
        await self._changed.wait()
        self._changed.clear()
        newest, self._newest = self._newest, None
        return None if self.may_go else newest


class Viewers:
    """All who watch at this gateway."""

    def __init__(self, make: Callable[[], Looking]) -> None:
        self._make = make
        self._looking: Looking | None = None
        self._viewers: set[Viewer] = set()
        self._task: asyncio.Task[None] | None = None
        self._open = True
        metrics.VIEWERS.set_function(lambda: len(self._viewers))

    def check_room(self) -> None:
        """Tell whether there is a place; raises Unavailable."""
        if not self._open or len(self._viewers) >= VIEWERS_MAX:
            raise Unavailable(f"This gateway drains, or {VIEWERS_MAX} watch it already; come again")

    @contextmanager
    def watch(self) -> Iterator[Viewer]:
        """Lend a place; ask `check_room` in the same step."""
        if self._looking is None or self._task is None or self._task.done():
            self._looking = self._make()
            self._task = asyncio.create_task(self._gather(self._looking))
        viewer = Viewer(event("past", list(self._looking.points)))
        self._viewers.add(viewer)
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            if not self._viewers:
                self._task.cancel()
                self._task = self._looking = None

    def let_go(self) -> None:
        """End all, and lend no place from now on."""
        self._open = False
        for viewer in self._viewers:
            viewer.let_go()

    async def close(self) -> None:
        """Look no more."""
        self.let_go()
        await end([self._task] if self._task is not None else [])

    async def _gather(self, looking: Looking) -> None:
        while True:
            try:
                shown = event("frame", await looking.look())
            except Exception:
                log.exception("frame_not_made")  # the next one may be; nobody's money is here
            else:
                for viewer in self._viewers:
                    viewer.show(shown)
            await asyncio.sleep(EACH_S)
