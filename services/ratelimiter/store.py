"""The windows on the volatile Redis: one batch of checks is one script call, one round trip."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

from redis.exceptions import NoScriptError

from services.ratelimiter.rules import GATEWAY_SILENT_MS, WINDOW_MS, split
from shared.contracts.peers import LimitReply, LimitRequest, LimitVerdict
from shared.runtime.connections import Line
from shared.runtime.redis import Client

PREFIX: Final = "topup:{limits}:"
GATEWAYS_KEY: Final = f"{PREFIX}gateways"


def script() -> str:
    """Return the script's text."""
    return files("services.ratelimiter").joinpath("limiter.lua").read_text(encoding="utf-8")


def window_key(customer_id: str) -> str:
    """Name the window of one customer; all windows are in one slot, for one script."""
    return f"{PREFIX}window:{customer_id}"


class Windows:
    """The customers' windows, shared by all ratelimiters on the same Redis."""

    def __init__(
        self, client: Client, *, text: str | None = None, window_ms: int = WINDOW_MS
    ) -> None:
        self._line: Line = client.line
        self._script = (script() if text is None else text).encode()
        self._digest = hashlib.sha1(self._script, usedforsecurity=False).hexdigest()
        self._window_ms = window_ms

    async def take(self, requests: Sequence[LimitRequest]) -> list[LimitReply]:
        """Take a place for each check where one is free; in order, in one step.

        Raises:
            RedisError: no answer; places may have been taken, never too many.
        """
        gateways = list({request.gateway: None for request in requests})
        checks = [check for request in requests for check in request.checks]
        keys = [GATEWAYS_KEY, *(window_key(check.customer_id) for check in checks)]
        args: list[Any] = [
            self._window_ms, GATEWAY_SILENT_MS, len(gateways), *gateways,
            *(check.limit for check in checks),
        ]  # fmt: skip
        alive, *flat = await self._run(len(keys), *keys, *args)
        verdicts = [
            LimitVerdict(allowed == 1, remaining, reset_ms)
            for allowed, remaining, reset_ms in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        ]
        return split(requests, verdicts, alive)

    async def _run(self, *args: str | int) -> Any:  # noqa: ANN401 - typed by `take`
        try:
            return await self._line.ask("EVALSHA", self._digest, *args)
        except NoScriptError:  # a new server, or one that came back; EVAL leaves it there
            return await self._line.ask("EVAL", self._script, *args)
