"""The bound on a pause: a process that was stopped for longer than STALL dies before it can write.

The look at the clock and the write are two steps, and a process can be stopped between them. The
kernel's timer goes on meanwhile; SIGALRM's default action ends the process before its next
instruction. A virtual machine's snapshot or live migration stops the timer too and is outside the
bound.
"""

import asyncio
import signal
from typing import Final

REARM_S: Final = 1.0


async def guard(stall_ms: int) -> None:
    """Keep the timer armed from the event loop until cancelled."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a parent may have had it ignored, or blocked
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    try:
        while True:
            signal.setitimer(signal.ITIMER_REAL, stall_ms / 1_000)
            await asyncio.sleep(REARM_S)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
