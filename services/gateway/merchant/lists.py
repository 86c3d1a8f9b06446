"""GET of many topups: a page of a list, or all of it as a file; the ledger has them."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from services.gateway.answers import Download, Reply, Served
from services.gateway.cursors import cursor_at
from services.gateway.keys import Keyring
from services.gateway.merchant import replies
from services.gateway.merchant.admission import admit
from services.gateway.merchant.list_calls import FILE, LIST
from services.gateway.merchant.listings import filter_of, read_filter, read_page
from services.gateway.peers import Ledger, PeerSilent
from services.gateway.refusals import Unavailable
from services.gateway.requests import Asked
from services.gateway.room import Room
from shared.contracts.keys import READ
from shared.contracts.peers import TopupFilter
from shared.runtime.clock import Clock

FILES_MAX: Final = 8
CUSTOMER_FILES_MAX: Final = 2


class ListRoutes:
    """A customer's own topups, newest first."""

    def __init__(self, *, keyring: Keyring, ledger: Ledger, room: Room, clock: Clock) -> None:
        self._keyring = keyring
        self._ledger = ledger
        self._room = room
        self._clock = clock
        self._files: Counter[str] = Counter()

    def served(self) -> list[Served]:
        """Return the calls that are answered here."""
        return [Served(LIST, self.page), Served(FILE, self.file)]

    async def page(self, asked: Asked) -> Reply:
        """Answer one page, and where the next one begins."""
        key = admit(self._keyring, asked, scope=READ)
        query = read_page(asked.query, customer_id=key.customer_id)
        try:
            with self._room:
                page = await self._ledger.topups(query)
        except PeerSilent as error:
            raise _not_now() from error
        cursor = None if page.next is None else cursor_at(page.next, filter_of(query))
        reply = replies.TopupList(
            data=[replies.of_row(row) for row in page.rows],
            has_more=cursor is not None,
            next_cursor=cursor,
        )
        headers = {} if cursor is None else {"link": f'<{_next(asked, cursor)}>; rel="next"'}
        return Reply(200, reply.encode(), headers)

    async def file(self, asked: Asked) -> Download:
        """Answer all of them as CSV; the file begins once the ledger has begun it."""
        key = admit(self._keyring, asked, scope=READ)
        wanted = read_filter(asked.query, customer_id=key.customer_id)
        if self._files[key.customer_id] >= CUSTOMER_FILES_MAX or self._files.total() >= FILES_MAX:
            raise Unavailable(
                f"At most {CUSTOMER_FILES_MAX} files of one customer, and {FILES_MAX} of all, "
                "are written at once; ask again when one has ended"
            )
        pieces = self._pieces(wanted)
        try:
            first = await anext(pieces)
        except PeerSilent as error:
            raise _not_now() from error
        now = datetime.fromtimestamp(self._clock.now_ms() / 1_000, UTC)
        headers = {
            "content-type": "text/csv; charset=utf-8; header=present",
            "content-disposition": f'attachment; filename="topups-{now:%Y%m%dT%H%M%SZ}.csv"',
        }
        return Download(first, pieces, headers)

    async def _pieces(self, wanted: TopupFilter) -> AsyncGenerator[bytes, None]:
        """Yield the file as the ledger writes it; it counts until it has ended or is closed."""
        one = Counter((wanted.customer_id,))
        self._files += one
        try:
            async with aclosing(self._ledger.file(wanted)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._files -= one


def _next(asked: Asked, cursor: str) -> str:
    """Return the address of the next page: this one's, with another cursor."""
    pairs = [pair for pair in parse_qsl(asked.query.decode()) if pair[0] != "cursor"]
    return f"/api/{quote(asked.merchant, safe='')}/topups?{urlencode([*pairs, ('cursor', cursor)])}"


def _not_now() -> Unavailable:
    return Unavailable("The topups cannot be listed right now; ask again")
