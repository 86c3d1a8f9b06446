"""A provider's statement of a day, sent by an operator, against the books."""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.admin.acts import Admit, from_books
from services.gateway.admin.requests import read_query
from services.gateway.answers import ServedBehind
from services.gateway.calls import Answer, Call, Field
from services.gateway.merchant.replies import Success
from services.gateway.merchant.topup_calls import KEY_REFUSALS
from services.gateway.openapi import FILE
from services.gateway.peers import Ledger
from services.gateway.refusals import Misunderstood, TooLarge, UnsupportedMediaType
from services.gateway.rest import json_response
from shared.contracts.statements import FILE_PATTERN, STATEMENT_BYTES_MAX, Compare, Compared
from shared.web.guard import BodyTooLarge, read_body

_EXAMPLE: Final = "?provider=LATCOM&day=2026-11-23&file=statement.csv"


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """What the statement and the books are to each other."""

    success: Success = True
    found: Compared


RECONCILE: Final = Call(
    name="reconcile",
    method="POST",
    path="/api/admin/reconcile",
    tag="Admin",
    about="Compare a provider's statement with the books",
    detail="The file as it is, CSV or xlsx, as `topup reconcile` takes it; larger ones go there. "
    "It changes nothing: what it shows of unresolved topups can be proposed.",
    key="admin",
    query=(
        Field(name="provider", about="Whose statement it is.", example="LATCOM", required=True),
        Field(
            name="day",
            about="Of which day, in the time zone of the layout, else in TIMEZONE.",
            schema={"type": "string", "format": "date"},
            required=True,
        ),
        Field(
            name="file",
            about="What the file is called.",
            schema={"type": "string", "pattern": f"^{FILE_PATTERN}$"},
            example="statement.csv",
            required=True,
        ),
    ),
    file=True,
    answers={200: Answer(about="Compared", body=Reconciled)},
    refusals=(*KEY_REFUSALS, "unsupported_media_type"),
)


class StatementRoutes:
    """Takes statements of operators; keeps nothing of them."""

    def __init__(self, ledger: Ledger, *, admit: Admit) -> None:
        self._ledger = ledger
        self._admit = admit

    def served(self) -> list[ServedBehind]:
        """Return the calls that are answered here."""
        return [ServedBehind(RECONCILE, self._reconcile)]

    async def _reconcile(self, request: Request) -> Response:
        self._admit(request)
        asked = read_query(request, Compare, example=_EXAMPLE)
        if request.headers.get("content-type") != FILE:
            raise UnsupportedMediaType(f"The header content-type must be {FILE}")
        try:
            statement = await read_body(
                request.receive,
                request.headers.get("content-length"),
                bytes_max=STATEMENT_BYTES_MAX,
            )
        except BodyTooLarge:
            raise TooLarge(
                f"The file is larger than {STATEMENT_BYTES_MAX} bytes; use: topup reconcile"
            ) from None
        comparing = await from_books(self._ledger.compare(asked, statement))
        if comparing.found is None:
            raise Misunderstood(f"{asked.file}: {comparing.problem}")
        return json_response(200, Reconciled(found=comparing.found))
