"""The public ASGI app: merchants' routes by hand, everything else behind; one form of error."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from services.gateway import metrics
from services.gateway.answers import Download, Served
from services.gateway.merchant.topup_calls import ACCEPT
from services.gateway.peers import PeerSilent
from services.gateway.refusals import MethodNotAllowed, Refusal
from services.gateway.requests import Asked, Shapes
from shared.contracts.errors import TopupError
from shared.contracts.limits import BODY_BYTES_MAX
from shared.runtime.clock import Clock
from shared.web.guard import ClientGone, fits, gone, linger
from shared.web.problems import HeaderList, render, said_code

log = structlog.get_logger()

_JSON: Final = (b"content-type", b"application/json")


class Door:
    """Answers each request once, in our form, and counts it."""

    def __init__(self, served: Sequence[Served], rest: Starlette, clock: Clock) -> None:
        self._shapes = Shapes(one.call for one in served)
        self._served = {one.call.name: one for one in served}
        self._rest = rest
        self._clock = clock

    @property
    def table(self) -> list[tuple[str, str]]:
        """Method and path of every call that is answered here."""
        table = [(one.call.method, one.call.path) for one in self._served.values()]
        for route in self._rest.routes:
            assert isinstance(route, Route), "of another kind of route the table would not know"
            table += [(method, route.path) for method in sorted(route.methods or ())]
        return table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        if b"%2f" in scope["raw_path"].lower():  # an encoded slash parts nothing
            scope["path"] = scope["raw_path"].decode("ascii")
        asked = self._shapes.ask(scope, receive)
        if asked is None:
            await self._rest(scope, receive, _counting(send))
            return
        started = self._clock.monotonic()
        try:
            await self._answer(asked, scope["method"], send)
        except ClientGone:
            log.debug("client_left", route=asked.call.name)
        if asked.call is ACCEPT and "prefer" not in asked.headers:
            metrics.ACCEPT_SECONDS.observe(self._clock.monotonic() - started)

    async def _answer(self, asked: Asked, method: str, send: Send) -> None:
        try:
            reply = await self._served_by(asked, method).answer(asked)
        except TopupError as error:
            await self._refuse(asked, error, send)
        except ClientGone:
            raise
        except Exception:
            log.exception("request_broke", route=asked.call.name, request_id=asked.request_id)
            await self._refuse(asked, TopupError("Our mistake; repeat it with the same key"), send)
        else:
            if isinstance(reply, Download):
                await self._hand_out(asked, reply, send, bodiless=method == "HEAD")
                return
            _count(asked.call.name, reply.status, "ok")
            headers = [_JSON, *_encoded(reply.headers)]
            await _send(send, reply.status, _with_request_id(headers, asked), reply.body)

    async def _hand_out(self, asked: Asked, file: Download, send: Send, *, bodiless: bool) -> None:
        """Send piece after piece, as fast as they are taken; one that breaks has no end.

        Without its last chunk a client cannot take half a file for a whole one.
        """
        _count(asked.call.name, 200, "ok")
        headers = _with_request_id(_encoded(file.headers), asked)
        leaving = asyncio.ensure_future(gone(asked.receive))
        try:
            async with aclosing(file.rest) as rest:
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await _send_piece(send, file.first)
                async for piece in rest:
                    if leaving.done():
                        raise ClientGone
                    if bodiless:
                        break
                    await _send_piece(send, piece)
            await send({"type": "http.response.body", "body": b""})
        except PeerSilent as error:
            log.warning("file_cut_short", problem=str(error), request_id=asked.request_id)
        finally:
            leaving.cancel()

    def _served_by(self, asked: Asked, method: str) -> Served:
        wanted = asked.call.method
        allowed = "GET, HEAD" if wanted == "GET" else wanted
        if method not in allowed.split(", "):
            raise MethodNotAllowed(f"This path takes {allowed} only", headers={"allow": allowed})
        return self._served[asked.call.name]

    async def _refuse(self, asked: Asked, error: TopupError, send: Send) -> None:
        given: Mapping[str, str] = error.headers if isinstance(error, Refusal) else {}
        members: Mapping[str, str] = error.members if isinstance(error, Refusal) else {}
        status, headers, body = render(
            error.code, str(error), accept=asked.headers.get("accept", ""), members=members
        )
        _count(asked.call.name, status, said_code(error.code))
        headers = _with_request_id([*headers, *_encoded(given)], asked)
        if _body_is_small(asked):
            await _send(send, status, headers, body)
            return
        headers.append((b"connection", b"close"))
        await _send(send, status, headers, body, last=False)
        await linger(asked.receive)
        await send({"type": "http.response.body", "body": b""})


def _body_is_small(asked: Asked) -> bool:
    """Tell whether the body, read or not, is nothing to close the connection for."""
    if "transfer-encoding" in asked.headers:
        return False
    return fits(asked.headers.get("content-length", "0"), bytes_max=BODY_BYTES_MAX)


def _with_request_id(headers: HeaderList, asked: Asked) -> HeaderList:
    if asked.request_id is not None:
        headers.append((b"x-request-id", asked.request_id.encode()))
    return headers


def _encoded(headers: Mapping[str, str]) -> HeaderList:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _send(
    send: Send, status: int, headers: HeaderList, body: bytes, *, last: bool = True
) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": not last})


async def _send_piece(send: Send, piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


def _counting(send: Send) -> Send:
    async def counted(message: Message) -> None:
        if message["type"] == "http.response.start":
            codes = [value for name, value in message["headers"] if name == b"error-code"]
            _count("other", message["status"], codes[0].decode() if codes else "ok")
        await send(message)

    return counted


def _count(route: str, status: int, code: str) -> None:
    metrics.requests(route, str(status), code).inc()
