"""How far a long command is: a line that changes on a terminal, a line now and then elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from shared.runtime.background import end

_LOOK_S: Final = 0.2
_LINE_EACH_S: Final = 5.0


class Pace:
    """Seconds since the start, and what that makes a second; of entries, or of what is named."""

    def __init__(self, what: str = "entries") -> None:
        self._what = what
        self._started = time.monotonic()

    def of(self, count: int) -> str:
        """Return `12,000 entries in 0.5 s (24,000/s)`."""
        passed = max(time.monotonic() - self._started, 0.001)
        return f"{count:,} {self._what} in {passed:,.1f} s ({count / passed:,.0f}/s)"


@asynccontextmanager
async def shown(pace: Pace, done: Callable[[], int], *, total: int | None) -> AsyncIterator[None]:
    """Show on standard error how far it is, until the block ends; `total` is unknown where None."""
    console = Console(stderr=True)
    show = _bar(console, pace, done, total) if console.is_terminal else _lines(console, pace, done)
    showing = asyncio.create_task(show)
    try:
        yield
    finally:
        await end([showing])


async def _bar(console: Console, pace: Pace, done: Callable[[], int], total: int | None) -> None:
    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        while True:
            progress.update(task, completed=done(), description=pace.of(done()))
            await asyncio.sleep(_LOOK_S)


async def _lines(console: Console, pace: Pace, done: Callable[[], int]) -> None:
    while True:
        await asyncio.sleep(_LINE_EACH_S)
        console.print(pace.of(done()), highlight=False, soft_wrap=True)
