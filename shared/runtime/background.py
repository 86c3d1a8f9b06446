"""Work that goes on beside the requests, until it is told to end."""

import asyncio
from collections.abc import Iterable
from typing import Final

CANCEL_AGAIN_S: Final = 0.2


async def end(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel the tasks until each has ended.

    Once is not enough: a client library may take the first cancellation for its own time-out.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
        for task in ended:
            if not task.cancelled():
                task.exception()  # it has been logged where it arose; here it is only collected
