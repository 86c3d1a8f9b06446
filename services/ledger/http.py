"""What gateways ask (keys, topups, totals) and tell (uses); private to the cluster's network."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
import psycopg
import structlog
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from services.ledger import metrics
from services.ledger.chain import Chain
from services.ledger.database import said
from services.ledger.dossier import Dossiers
from services.ledger.keys import Keys
from services.ledger.lists import Lists
from services.ledger.proposals import Proposals
from services.ledger.statements.sent import Statements
from services.ledger.store import Past
from shared.contracts.errors import InvalidRequest, NotAccepted, NotKnown
from shared.contracts.peers import (
    AUDIT_PATH,
    FILE_PATH,
    KEY_USES_MAX,
    KEY_USES_PATH,
    KEYS_PATH,
    TOPUP_PATH,
    TOPUPS_PATH,
    TOTALS_PATH,
    AuditQuery,
    KeyUses,
    TopupFilter,
    TopupQuery,
)
from shared.contracts.proposals import (
    FILE_BYTES_MAX,
    LIMBO_PATH,
    PROPOSE_PATH,
    UNRESOLVED_PATH,
    WITHDRAW_PATH,
    Proposal,
    UnresolvedQuery,
    Withdrawing,
)
from shared.contracts.statements import COMPARE_PATH, STATEMENT_BYTES_MAX, Compare
from shared.contracts.stories import DOSSIER_PATH, EVIDENCE_PATH, FIND_PATH, Sought
from shared.web.guard import BodyTooLarge, ClientGone, read_body
from shared.web.problems import render

log = structlog.get_logger()

_TOPUP_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KEY_USES_BYTES_MAX: Final = KEY_USES_MAX * 128
PROPOSAL_BYTES_MAX: Final = 2 * FILE_BYTES_MAX  # as base64, with all else
_CODES: Final = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}

UNREACHED: Final = (psycopg.Error, RedisError, OSError, NotAccepted, NotKnown)

Answer = Callable[[Request], Awaitable[Response]]
AskedT = TypeVar("AskedT")


def query_app(  # noqa: PLR0913 - one for each kind of question
    past: Past,
    lists: Lists,
    api_keys: Keys,
    *,
    dossiers: Dossiers,
    chain: Chain,
    proposals: Proposals,
    statements: Statements,
) -> Starlette:
    """Return the app of the ledger's port."""

    async def keys(_request: Request) -> Response:
        return _json(await api_keys.snapshot())

    async def totals(_request: Request) -> Response:
        sums = (await proposals.limbo()).sums
        return _json(msgspec.structs.replace(await past.totals(), limbo=sums))

    return Starlette(
        routes=[
            Route(path, _timed(path, answer), methods=[method])
            for method, path, answer in (
                ("GET", KEYS_PATH, keys),
                ("POST", KEY_USES_PATH, _key_uses(api_keys)),
                ("GET", TOTALS_PATH, totals),
                ("GET", TOPUP_PATH, _topup(past)),
                ("GET", DOSSIER_PATH, _told(dossiers.dossier)),
                ("GET", EVIDENCE_PATH, _told(dossiers.packed)),
                ("GET", FIND_PATH, _find(dossiers)),
                ("GET", TOPUPS_PATH, _page(lists)),
                ("GET", FILE_PATH, _file(lists)),
                ("GET", AUDIT_PATH, _audit(chain)),
                ("GET", UNRESOLVED_PATH, _unresolved(proposals)),
                ("GET", LIMBO_PATH, _limbo(proposals)),
                ("POST", PROPOSE_PATH, _done(Proposal, proposals.propose)),
                ("POST", COMPARE_PATH, _compare(statements)),
                ("POST", WITHDRAW_PATH, _done(Withdrawing, proposals.withdraw)),
            )
        ],
        exception_handlers={
            InvalidRequest: _invalid,
            **dict.fromkeys(UNREACHED, _unavailable),
            HTTPException: _refused,
        },
    )


class _File(StreamingResponse):
    """A file; where the rest cannot be read it breaks off, without the end that makes it whole."""

    async def stream_response(self, send: Send) -> None:
        """Send what there is."""
        try:
            await super().stream_response(send)
        except UNREACHED as problem:
            log.warning("file_cut_short", problem=said(problem))


def _topup(past: Past) -> Answer:
    async def topup(request: Request) -> Response:
        topup_id = request.path_params["topup_id"]
        customer_id = request.query_params.get("customer_id")
        if not customer_id:
            return _problem("invalid_request", "customer_id is missing: ?customer_id=…")
        row = None
        if _TOPUP_ID.fullmatch(topup_id) and "\x00" not in customer_id:
            row = await past.topup(topup_id, customer_id=customer_id)
        return _problem("not_found", "There is no such topup") if row is None else _json(row)

    return topup


def _told(tell: Callable[[str], Awaitable[Any]]) -> Answer:
    async def told(request: Request) -> Response:
        topup_id = request.path_params["topup_id"]
        found = await tell(topup_id) if _TOPUP_ID.fullmatch(topup_id) else None
        return _problem("not_found", "There is no such topup") if found is None else _json(found)

    return told


def _find(dossiers: Dossiers) -> Answer:
    async def found(request: Request) -> Response:
        sought = _asked(request, Sought)
        if sought == Sought() or (sought.topup_id and not _TOPUP_ID.fullmatch(sought.topup_id)):
            raise InvalidRequest("nothing to look for; for example ?reference=order-17")
        return _json(await dossiers.find(sought))

    return found


def _page(lists: Lists) -> Answer:
    async def page(request: Request) -> Response:
        return _json(await lists.page(_asked(request, TopupQuery)))

    return page


def _audit(chain: Chain) -> Answer:
    async def audit(request: Request) -> Response:
        return _json(await chain.page(_asked(request, AuditQuery, example="?limit=50")))

    return audit


def _unresolved(proposals: Proposals) -> Answer:
    async def unresolved(request: Request) -> Response:
        return _json(
            await proposals.unresolved(_asked(request, UnresolvedQuery, example="?limit=50"))
        )

    return unresolved


def _limbo(proposals: Proposals) -> Answer:
    async def limbo(_request: Request) -> Response:
        return _json(await proposals.limbo())

    return limbo


def _done(kind: type[AskedT], do: Callable[[AskedT], Awaitable[Any]]) -> Answer:
    async def done(request: Request) -> Response:
        return _json(await do(await _body(request, kind, PROPOSAL_BYTES_MAX)))

    return done


def _compare(statements: Statements) -> Answer:
    async def compare(request: Request) -> Response:
        asked = _asked(request, Compare, example="?provider=LATCOM&day=2026-11-23&file=s.csv")
        try:
            content = await read_body(request.receive, None, bytes_max=STATEMENT_BYTES_MAX)
        except BodyTooLarge:
            raise HTTPException(413, f"over {STATEMENT_BYTES_MAX} bytes") from None
        return _json(await statements.compare(asked, content))

    return compare


def _file(lists: Lists) -> Answer:
    async def file(request: Request) -> Response:
        lines = lists.file(_asked(request, TopupFilter))
        first = [await anext(lines), await anext(lines, b"")]  # fails while a status can say so
        return _File(_after(first, lines), media_type="text/csv")

    return file


def _asked(
    request: Request, kind: type[AskedT], *, example: str = "?customer_id=C&limit=50"
) -> AskedT:
    parameters = dict(request.query_params)
    try:
        asked = msgspec.convert(parameters, kind, strict=False)
    except msgspec.ValidationError as problem:
        raise InvalidRequest(f"{problem}; for example {example}") from None
    if any("\x00" in value for value in parameters.values()):
        raise InvalidRequest("a parameter holds the character NUL, which nothing here has")
    return asked


async def _after(first: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in first:
        yield chunk
    async for chunk in rest:
        yield chunk


def _key_uses(api_keys: Keys) -> Answer:
    async def key_uses(request: Request) -> Response:
        try:
            uses = await _body(request, KeyUses, KEY_USES_BYTES_MAX)
        except InvalidRequest as problem:
            raise InvalidRequest(f"not the uses of keys: {problem}") from None
        except HTTPException:
            raise HTTPException(413, f"at most {KEY_USES_MAX} keys go in one message") from None
        return _json(await api_keys.note_uses(uses))

    return key_uses


async def _body(request: Request, kind: type[AskedT], bytes_max: int) -> AskedT:
    try:
        body = await read_body(request.receive, None, bytes_max=bytes_max)
        return msgspec.json.decode(body, type=kind)
    except ClientGone:
        raise InvalidRequest("the connection ended before the body") from None
    except BodyTooLarge:
        raise HTTPException(413, f"the body is larger than {bytes_max} bytes") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise InvalidRequest(str(problem)) from None


def _timed(path: str, answer: Answer) -> Answer:
    seconds = metrics.QUERY_SECONDS.labels(path)

    async def timed(request: Request) -> Response:
        with seconds.time():
            return await answer(request)

    return timed


async def _unavailable(request: Request, problem: Exception) -> Response:
    log.warning("question_unanswered", path=request.url.path, problem=said(problem))
    return _problem("unavailable", "The books cannot be reached; ask again")


async def _invalid(_request: Request, problem: Exception) -> Response:
    return _problem("invalid_request", str(problem))


async def _refused(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException), "registered for it"
    return _problem(_CODES.get(problem.status_code, "invalid_request"), str(problem.detail))


def _problem(code: str, text: str) -> Response:
    status, headers, body = render(code, text)
    return Response(
        body, status, headers={name.decode(): value.decode() for name, value in headers}
    )


def _json(body: Any) -> Response:  # noqa: ANN401 - any struct
    return Response(msgspec.json.encode(body), media_type="application/json")
