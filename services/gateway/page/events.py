"""The live picture as a stream of server-sent events, for as long as its viewer may see it."""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from services.gateway.admin.acts import Admit
from services.gateway.answers import ServedBehind
from services.gateway.page.calls import EVENT_HEADERS, EVENTS
from services.gateway.page.viewers import Viewers, event
from services.gateway.refusals import Refusal

TAKE_S_MAX: Final = 10.0

log = structlog.get_logger()


class Events:
    """Shows the live picture to operators."""

    def __init__(self, viewers: Viewers, *, admit: Admit) -> None:
        self._viewers = viewers
        self._admit = admit

    def served(self) -> list[ServedBehind]:
        """Return the calls that are answered here."""
        return [ServedBehind(EVENTS, self._events)]

    async def _events(self, request: Request) -> Response:
        self._admit(request)
        self._viewers.check_room()
        if request.method == "HEAD":
            return Response(headers=EVENT_HEADERS, media_type="text/event-stream")
        return _Watching(request, self._viewers, self._admit, headers=EVENT_HEADERS)


class _Watching(StreamingResponse):
    """One viewer's stream. It ends when its key or session does, looked at with each frame."""

    media_type = "text/event-stream"

    def __init__(
        self, request: Request, viewers: Viewers, admit: Admit, *, headers: Mapping[str, str]
    ) -> None:
        super().__init__(iter(()), headers=headers)
        self._request = request
        self._viewers = viewers
        self._admit = admit

    async def stream_response(self, send: Send) -> None:
        """Send each frame that is taken in time, until there are no more."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            with self._viewers.watch() as viewer:
                await send(start)
                await self._send(send, viewer.past)
                while (frame := await viewer.take()) is not None and self._may_see():
                    await self._send(send, frame)
                await self._send(send, event("over", {}))
        except TimeoutError:
            log.info("viewer_dropped", seconds=TAKE_S_MAX)
            return  # without its last chunk: the connection is closed
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _may_see(self) -> bool:
        try:
            self._admit(self._request)
        except Refusal:
            return False
        return True

    @staticmethod
    async def _send(send: Send, chunk: bytes) -> None:
        async with asyncio.timeout(TAKE_S_MAX):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
