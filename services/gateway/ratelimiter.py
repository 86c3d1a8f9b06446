"""The ratelimiter, asked over a connection that stays open: one request, one write, one answer."""

import asyncio
import ssl
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import msgspec

from services.gateway.peers import CONNECT_S_MAX, PeerSilent
from shared.contracts.peers import LIMIT_PATH, LimitReply, LimitRequest
from shared.web.client import BrokenAnswer, Connection, Reply

LIMIT_S_MAX: Final = 1.0
_OK: Final = 200
_encoder: Final = msgspec.json.Encoder()
_replies: Final = msgspec.json.Decoder(LimitReply)


class Ratelimiter:
    """Who may how much, over all gateways; opens nothing before the first check."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._trust = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._trust else 80)
        self._head = (
            f"POST {parts.path.rstrip('/')}{LIMIT_PATH} HTTP/1.1\r\n"
            f"host: {parts.netloc.rpartition('@')[2]}\r\n"
            "content-type: application/json\r\n"
            "content-length: "
        ).encode()
        self._idle: list[Connection] = []  # one; two where a sign of life met a batch

    async def check(self, request: LimitRequest) -> LimitReply:
        """Return a verdict for each check.

        Asked once more where a kept connection had ended: at worst that takes a place too many.

        Raises:
            PeerSilent: no ratelimiter answers.
        """
        body = _encoder.encode(request)
        try:
            answer = await self._ask(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
            if answer.status != _OK:
                raise PeerSilent(f"{LIMIT_PATH}: HTTP {answer.status}")
            reply = _replies.decode(answer.body)
        except (BrokenAnswer, OSError, ValueError, RecursionError) as error:
            raise PeerSilent(f"{LIMIT_PATH}: {str(error) or type(error).__name__}") from error
        if len(reply.verdicts) != len(request.checks):
            raise PeerSilent(f"{LIMIT_PATH}: not a verdict for each check")
        return reply

    async def close(self) -> None:
        """Let go of the connections."""
        while self._idle:
            self._idle.pop().abort()

    async def _ask(self, message: bytes) -> Reply:
        while self._idle:
            kept = self._idle.pop()
            if kept.usable:
                with suppress(ConnectionError):
                    return await self._exchange(kept, message)
                break
        return await self._exchange(await self._open(), message)

    async def _exchange(self, connection: Connection, message: bytes) -> Reply:
        timer = asyncio.get_running_loop().call_later(LIMIT_S_MAX, connection.give_up)
        try:
            reply = await connection.write(message)
        except BaseException:
            connection.abort()  # an answer that still comes belongs to nobody
            raise
        finally:
            timer.cancel()
        if connection.usable:
            self._idle.append(connection)
        else:
            connection.abort()
        return reply

    async def _open(self) -> Connection:
        async with asyncio.timeout(CONNECT_S_MAX):
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection, self._host, self._port, ssl=self._trust
            )
        return connection
