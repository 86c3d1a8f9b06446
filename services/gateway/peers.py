"""The ledger as gateways ask it, over HTTP."""

from collections.abc import AsyncGenerator, Mapping
from typing import Final, TypeVar

import aiohttp
import msgspec

from shared.contracts.errors import TopupError
from shared.contracts.peers import (
    AUDIT_PATH,
    FILE_PATH,
    KEY_USES_PATH,
    KEYS_PATH,
    TOPUP_PATH,
    TOPUPS_PATH,
    TOTALS_PATH,
    AuditPage,
    AuditQuery,
    KeySnapshot,
    KeyUses,
    KeyUsesNoted,
    TopupFilter,
    TopupPage,
    TopupQuery,
    TopupRow,
    Totals,
)
from shared.contracts.proposals import (
    LIMBO_PATH,
    PROPOSE_PATH,
    UNRESOLVED_PATH,
    WITHDRAW_PATH,
    InLimbo,
    Outcome,
    Proposal,
    UnresolvedPage,
    UnresolvedQuery,
    Withdrawing,
)
from shared.contracts.statements import COMPARE_PATH, Compare, Comparing
from shared.contracts.stories import (
    DOSSIER_PATH,
    EVIDENCE_PATH,
    FIND_PATH,
    Dossier,
    Found,
    Packed,
    Sought,
)

CONNECT_S_MAX: Final = 0.5
LEDGER_S_MAX: Final = 3.0
COMPARE_S_MAX: Final = 60.0
FILE_SILENT_S_MAX: Final = 30.0
_OK: Final = 200
_NOT_FOUND: Final = 404
_JSON: Final[Mapping[str, str]] = {"content-type": "application/json"}

_BROKEN: Final = (aiohttp.ClientError, TimeoutError, OSError)

AnswerT = TypeVar("AnswerT")


class PeerSilent(TopupError):
    """A service of ours gave no usable answer; do without it, or say that we cannot."""

    code = "unavailable"


class Ledger:
    """What was, and who may; connections are kept and opened as needed."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._open: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        if self._open is not None:
            await self._open.close()

    async def keys(self) -> KeySnapshot:
        """Return all keys; raises PeerSilent as all of these do."""
        return _present(await self._ask("GET", KEYS_PATH, KeySnapshot), KEYS_PATH)

    async def note_uses(self, uses: KeyUses) -> KeyUsesNoted:
        """Tell when keys were last used; at most `KEY_USES_MAX` of them."""
        body = msgspec.json.encode(uses)
        noted = await self._ask("POST", KEY_USES_PATH, KeyUsesNoted, body=body)
        return _present(noted, KEY_USES_PATH)

    async def topup(self, topup_id: str, *, customer_id: str) -> TopupRow | None:
        """Return the customer's topup as it is booked; None if it has no such one."""
        path = TOPUP_PATH.format(topup_id=topup_id)
        return await self._ask("GET", path, TopupRow, query={"customer_id": customer_id})

    async def dossier(self, topup_id: str) -> Dossier | None:
        """Return all that the books hold of a topup; None where they do not know it."""
        return await self._ask("GET", DOSSIER_PATH.format(topup_id=topup_id), Dossier)

    async def evidence(self, topup_id: str) -> Packed | None:
        """Return a signed file about a topup; None where the books do not know it."""
        return await self._ask("GET", EVIDENCE_PATH.format(topup_id=topup_id), Packed)

    async def find(self, sought: Sought) -> Found:
        """Return the newest topups of any customer that fit."""
        query = msgspec.to_builtins(sought)
        return _present(await self._ask("GET", FIND_PATH, Found, query=query), FIND_PATH)

    async def topups(self, query: TopupQuery) -> TopupPage:
        """Return a page of a customer's topups."""
        parameters = _parameters(query)
        page = await self._ask("GET", TOPUPS_PATH, TopupPage, query=parameters)
        return _present(page, TOPUPS_PATH)

    async def file(self, wanted: TopupFilter) -> AsyncGenerator[bytes, None]:
        """Yield a customer's topups as CSV; what the caller does not take is not asked for.

        Raises:
            PeerSilent: as all of these, also in the middle.
        """
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_S_MAX, sock_read=FILE_SILENT_S_MAX
        )
        try:
            async with self._session.get(
                self._url + FILE_PATH, params=_parameters(wanted), timeout=timeout
            ) as response:
                if response.status != _OK:
                    raise PeerSilent(f"{FILE_PATH}: HTTP {response.status}")
                async for chunk in response.content.iter_any():
                    yield chunk
        except _BROKEN as error:
            raise _silent(FILE_PATH, error) from error

    async def totals(self) -> Totals:
        """Return the figures of the admin's metrics."""
        return _present(await self._ask("GET", TOTALS_PATH, Totals), TOTALS_PATH)

    async def audit(self, query: AuditQuery) -> AuditPage:
        """Return acts, newest first."""
        page = await self._ask("GET", AUDIT_PATH, AuditPage, query=_parameters(query))
        return _present(page, AUDIT_PATH)

    async def unresolved(self, query: UnresolvedQuery) -> UnresolvedPage:
        """Return topups in limbo with what was proposed of them."""
        page = await self._ask("GET", UNRESOLVED_PATH, UnresolvedPage, query=_parameters(query))
        return _present(page, UNRESOLVED_PATH)

    async def limbo(self) -> InLimbo:
        """Return how much is in limbo."""
        return _present(await self._ask("GET", LIMBO_PATH, InLimbo), LIMBO_PATH)

    async def propose(self, proposal: Proposal) -> Outcome:
        """Keep a proposal."""
        body = msgspec.json.encode(proposal)
        return _present(await self._ask("POST", PROPOSE_PATH, Outcome, body=body), PROPOSE_PATH)

    async def compare(self, asked: Compare, statement: bytes) -> Comparing:
        """Return what a statement is to the books; it may take a while."""
        found = await self._ask(
            "POST",
            COMPARE_PATH,
            Comparing,
            body=statement,
            query=_parameters(asked),
            within_s=COMPARE_S_MAX,
        )
        return _present(found, COMPARE_PATH)

    async def withdraw(self, given: Withdrawing) -> Outcome:
        """Take a proposal back."""
        body = msgspec.json.encode(given)
        return _present(await self._ask("POST", WITHDRAW_PATH, Outcome, body=body), WITHDRAW_PATH)

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._open is None:
            self._open = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=32, keepalive_timeout=30.0),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._open

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[AnswerT],
        *,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        within_s: float = LEDGER_S_MAX,
    ) -> AnswerT | None:
        """Return the answer; None where there is no such thing."""
        try:
            async with self._session.request(
                method,
                self._url + path,
                data=body,
                params=query,
                headers=_JSON,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=within_s, sock_connect=CONNECT_S_MAX),
            ) as response:
                answer = await response.read()
        except _BROKEN as error:
            raise _silent(path, error) from error
        if response.status == _NOT_FOUND:
            return None
        if response.status != _OK:
            raise PeerSilent(f"{path}: HTTP {response.status}")
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise PeerSilent(f"{path}: {error}") from error


def _parameters(asked: msgspec.Struct) -> dict[str, str]:
    return {name: str(value) for name, value in msgspec.to_builtins(asked).items()}


def _silent(path: str, error: Exception) -> PeerSilent:
    return PeerSilent(f"{path}: {str(error) or type(error).__name__}")


def _present(answer: AnswerT | None, path: str) -> AnswerT:
    if answer is None:
        raise PeerSilent(f"{path}: HTTP {_NOT_FOUND}")
    return answer
