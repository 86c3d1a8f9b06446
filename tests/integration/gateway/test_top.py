"""`topup top`, in a terminal of its own, before one gateway."""

import asyncio
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from shared.bus.lanes import Lanes
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.contracts.states import State
from shared.runtime.redis import Client
from tests.integration.bus.bench import Bench
from tests.integration.gateway.house import ADMIN_KEY, WAIT_S_MAX, House
from tests.integration.gateway.people import RUN, sell

pytestmark = pytest.mark.integration


class Terminal:
    """What stands on it, with all that moved the cursor."""

    def __init__(self, master: int, process: asyncio.subprocess.Process) -> None:
        self._master = master
        self.process = process
        self.seen = ""

    async def shows(self, text: str) -> str:
        """Wait until it has been written; return all of it, and forget what was before."""
        async with asyncio.timeout(WAIT_S_MAX):
            while text not in self.seen:
                self.seen += (await asyncio.to_thread(os.read, self._master, 65_536)).decode()
        seen, self.seen = self.seen, ""
        return seen


@asynccontextmanager
async def terminal(gateway: str, key: str = ADMIN_KEY) -> AsyncIterator[Terminal]:
    """Type `topup top` into a terminal of 100 columns."""
    master, slave = pty.openpty()
    known = {"TOPUP_URL": gateway, "TOPUP_ADMIN_KEY": key, "COLUMNS": "100", "LINES": "40"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN, "top",
        env={**os.environ, "TERM": "xterm-256color", **known},
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(master)


async def test_the_live_picture_stands_in_a_terminal(
    home: House, gateway: str, redis: Client, bench: Bench
) -> None:
    """Lanes, replicas, the newest ends; what somebody writes is obeyed by no terminal."""
    await sell(home, gateway, bench, State.SUCCEEDED)
    lanes = Lanes(redis, Topups(redis, partitions=1, window_ms=0))
    await lanes.hold("DTONE", act=act_by("ana", why="strike \x1b[2J[red]"))
    async with terminal(gateway) as screen:
        seen = await screen.shows("gateway-1")
        seen += await screen.shows("+52********83")
        for told in ("DTONE is held.", "by ana", "LATCOM", "succeeded", "10.00 MXN"):
            assert told in seen
        assert "strike \ufffd[2J[red]" in seen
        assert "5566374683" not in seen
        screen.process.send_signal(signal.SIGINT)
        assert await screen.process.wait() == 130


async def test_it_goes_on_when_the_gateway_is_back(home: House, gateway: str) -> None:
    """Beside the last that was seen it says that it is old."""
    async with terminal(gateway) as screen:
        await screen.shows("All is quiet.")
        await home.stop("gateway-1")
        await screen.shows("connection lost")
        await home.gateway("gateway-2", port=urlsplit(gateway).port)
        await screen.shows("through gateway-2")


async def test_a_wrong_key_ends_it_in_one_line(gateway: str) -> None:
    """Status 2, and the terminal is as it was."""
    async with terminal(gateway, key="operator_nobody") as screen:
        await screen.shows("must hold the key of an operator")
        assert await screen.process.wait() == 2
