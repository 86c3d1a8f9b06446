"""The bound on a pause holds whatever the process was started by."""

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.integration

STARVED = """
import asyncio, time
from services.dispatcher.stall import guard

async def main():
    guarding = asyncio.create_task(guard(200))
    await asyncio.sleep(0)
    time.sleep(30)

asyncio.run(main())
"""


def _ignore() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)


def _block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})


@pytest.mark.parametrize("inherited", [None, _ignore, _block])
def test_a_starved_process_dies_by_the_kernels_timer(inherited: Callable[[], None] | None) -> None:
    """A parent that ignores or blocks the signal hands that on; it must not lift the bound."""
    process = subprocess.run([sys.executable, "-c", STARVED], preexec_fn=inherited, check=False)
    assert process.returncode == -signal.SIGALRM
