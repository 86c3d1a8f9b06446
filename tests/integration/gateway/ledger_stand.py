"""A stand for the ledger's read API: the tests of the gateway decide what it answers."""

import asyncio
from collections.abc import Iterable
from hashlib import sha256
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from shared.contracts.peers import (
    ApiKey,
    KeySnapshot,
    KeyUses,
    KeyUsesNoted,
    OperatorKey,
    TopupRow,
    Totals,
)
from shared.contracts.stories import Found

SECRET = "tk_test_0123456789"
CUSTOMER = "ENVIADESPENSA_001"
MERCHANT = "enviadespensa"


def api_key(secret: str = SECRET, **changes: object) -> ApiKey:
    """Return a key as the ledger knows it."""
    fields = {
        "sha256": sha256(secret.encode()).hexdigest(),
        "customer_id": CUSTOMER,
        "merchant": MERCHANT,
    }
    return msgspec.convert({**fields, **changes}, ApiKey)


class LedgerStand:
    """Serves keys, topups, files and totals on a free port; can be told not to answer.

    An empty piece of a file breaks it off.
    """

    def __init__(self) -> None:
        self.keys = [api_key()]
        self.operators: list[OperatorKey] = []
        self.as_of = "0-0"
        self.rows: dict[str, TopupRow] = {}
        self.totals = Totals(
            total_transactions=0,
            revenue={},
            today_transactions=0,
            today_volume={},
            unresolved_transactions=0,
            unresolved_volume={},
        )
        self.last_used_at_ms: dict[str, int] = {}
        self.uses_told: list[int] = []  # keys in each message
        self.silent = False
        self.looking = 0
        self.looks_on = asyncio.Event()
        self.looks_on.set()
        self.lists_given = 0
        self.file_pieces: Iterable[bytes] = [b"topup_id\r\n"]
        self.pieces_given = 0
        self.files_open = 0
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Listen."""
        app = web.Application()
        app.router.add_get("/keys", self._keys)
        app.router.add_post("/keys/uses", self._uses)
        app.router.add_get("/topups/{topup_id}", self._topup)
        app.router.add_get("/topups/{topup_id}/dossier", self._nothing)
        app.router.add_get("/find", self._nobody)
        app.router.add_get("/totals", self._totals)
        app.router.add_get("/topups.csv", self._file)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop listening."""
        assert self._runner is not None
        await self._runner.cleanup()

    async def _keys(self, _request: web.Request) -> web.Response:
        self.lists_given += 1
        return self._answer(KeySnapshot(self.keys, self.as_of, self.operators))

    async def _uses(self, request: web.Request) -> web.Response:
        uses = msgspec.json.decode(await request.read(), type=KeyUses).last_used_at_ms
        if not self.silent:
            self.uses_told.append(len(uses))
            self.last_used_at_ms |= uses
        return self._answer(KeyUsesNoted(len(uses)))

    async def _topup(self, request: web.Request) -> web.Response:
        self.looking += 1
        await self.looks_on.wait()
        self.looking -= 1
        row = self.rows.get(request.match_info["topup_id"])
        theirs = row is not None and row.customer_id == request.query["customer_id"]
        return self._answer(row) if theirs or self.silent else web.Response(status=404)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if self.silent:
            return web.Response(status=503)
        response = web.StreamResponse()
        await response.prepare(request)
        self.files_open += 1
        try:
            for piece in self.file_pieces:
                if not piece and request.transport is not None:
                    request.transport.abort()
                await response.write(piece)
                self.pieces_given += 1
        finally:
            self.files_open -= 1
        return response

    async def _nothing(self, _request: web.Request) -> web.Response:
        return web.Response(status=503 if self.silent else 404)

    async def _nobody(self, _request: web.Request) -> web.Response:
        return self._answer(Found([], has_more=False))

    async def _totals(self, _request: web.Request) -> web.Response:
        return self._answer(self.totals)

    def _answer(self, body: object) -> web.Response:
        if self.silent:
            return web.Response(status=503)
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")
