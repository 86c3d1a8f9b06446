"""When keys were last used: remembered here, and told to the ledger now and then, never waited for.

A key's use costs its request one entry in a set. What the ledger could not be told waits here, at
most one moment a key.
"""

import asyncio
from itertools import islice
from typing import Final

import structlog

from services.gateway.keys import Keyring
from services.gateway.peers import Ledger, PeerSilent
from shared.contracts.peers import KEY_USES_MAX, KeyUses
from shared.runtime.clock import Clock

REPORT_S: Final = 10.0

log = structlog.get_logger()


class Uses:
    """Reports for one gateway."""

    def __init__(self, keyring: Keyring, ledger: Ledger, clock: Clock) -> None:
        self._keyring = keyring
        self._ledger = ledger
        self._clock = clock
        self._untold: dict[str, int] = {}

    async def keep_reported(self) -> None:
        """Report every `REPORT_S` until cancelled."""
        while True:
            await asyncio.sleep(REPORT_S)
            await self.report()

    async def report(self) -> None:
        """Tell the ledger which keys were used since the last report, in a few messages at most."""
        now_ms = self._clock.now_ms()
        self._untold |= dict.fromkeys(self._keyring.take_used(), now_ms)
        while self._untold:
            told = dict(islice(self._untold.items(), KEY_USES_MAX))
            try:
                await self._ledger.note_uses(KeyUses(told))
            except PeerSilent as error:
                log.warning("key_uses_not_told", problem=str(error), keys=len(self._untold))
                return
            for key in told:
                del self._untold[key]
