"""The admin API of unresolved topups: one person proposes how to settle one, another confirms."""

from hashlib import sha256
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils import uuid7

from services.gateway.acts import Admit, from_books, on_streams, read_act, understood
from services.gateway.answers import ServedBehind
from services.gateway.figures import limbo_shown
from services.gateway.peers import Ledger
from services.gateway.refusals import Conflict, Forbidden, Misunderstood, NotFound
from services.gateway.rest import json_response
from services.gateway.unresolved_calls import (
    CONFIRM,
    PROPOSE,
    UNRESOLVED,
    UNRESOLVED_SHOW,
    WITHDRAW,
    Confirm,
    Propose,
    Proposed,
    Resolved,
    UnresolvedList,
    UnresolvedWhole,
    Withdraw,
)
from services.gateway.unresolved_pages import (
    next_cursor,
    proposal_shown,
    read_unresolved,
    told,
    topup_shown,
)
from shared.bus.records import Record
from shared.bus.topups import Topups
from shared.contracts.acts import ActBy
from shared.contracts.bookable import unbookable_id
from shared.contracts.events import Evidence, encode
from shared.contracts.instants import timestamp
from shared.contracts.proposals import (
    FILE_BYTES_MAX,
    Proposal,
    Unresolved,
    UnresolvedQuery,
    Withdrawing,
)
from shared.contracts.states import Reason, State
from shared.contracts.streams import partition_of
from shared.runtime.moments import instant_ms

log = structlog.get_logger()

_PROPOSE: Final = '{"to": "failed", "evidence": "ticket 4711", "asked_at": "2026-11-24T03:00:00Z"}'
_CONFIRM: Final = '{"proposal": "0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"}'
_WITHDRAW: Final = '{"proposal": "0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11", "reason": "mistaken"}'
_BODY_BYTES_MAX: Final = 2 * FILE_BYTES_MAX  # as base64, with all else

_MAYBE_DONE: Final = "it may have been done; look"


class UnresolvedRoutes:
    """What operators may do about money in limbo; `alone`: one person is enough."""

    def __init__(self, topups: Topups, ledger: Ledger, *, admit: Admit, alone: bool) -> None:
        self._topups = topups
        self._ledger = ledger
        self._admit = admit
        self._alone = alone

    def served(self) -> list[ServedBehind]:
        """Return the calls that are answered here."""
        return [
            ServedBehind(UNRESOLVED, self._list),
            ServedBehind(UNRESOLVED_SHOW, self._show),
            ServedBehind(PROPOSE, self._propose),
            ServedBehind(CONFIRM, self._confirm),
            ServedBehind(WITHDRAW, self._withdraw),
        ]

    async def _list(self, request: Request) -> Response:
        self._admit(request)
        query = read_unresolved(request)
        page = await from_books(self._ledger.unresolved(query))
        limbo = await from_books(self._ledger.limbo())
        shown = UnresolvedList(
            topups=[topup_shown(row) for row in page.rows],
            next=next_cursor(page),
            limbo=[limbo_shown(one) for one in limbo.sums],
        )
        return json_response(200, shown)

    async def _show(self, request: Request) -> Response:
        self._admit(request)
        row = await self._row(request)
        proposals = [proposal_shown(one) for one in row.proposals]
        return json_response(200, UnresolvedWhole(topup=topup_shown(row), proposals=proposals))

    async def _propose(self, request: Request) -> Response:
        who = self._admit(request)
        asked = await read_act(request, Propose, example=_PROPOSE, bytes_max=_BODY_BYTES_MAX)
        row = await self._row(request)
        _check_open(row)
        new = _proposal(asked, row, who)
        record = await self._record(row)
        await self._check_asked_at(new, record)
        outcome = await from_books(self._ledger.propose(new), hint=_MAYBE_DONE)
        if not outcome.done:
            raise Conflict(_already(row.topup_id, outcome.status, outcome.proposal))
        assert outcome.proposal is not None, "it was kept just now"
        return json_response(
            200, Proposed(topup_id=row.topup_id, proposal=proposal_shown(outcome.proposal))
        )

    async def _confirm(self, request: Request) -> Response:
        who = self._admit(request)
        asked = await read_act(request, Confirm, example=_CONFIRM)
        row = await self._row(request)
        proposal = _open_one(row, asked.proposal)
        if proposal.maker == who and not self._alone:
            raise Forbidden(
                f"{who} proposed it: another person must confirm it (RESOLVE_ALONE=on lets one "
                "do both); nothing was changed"
            )
        word, detail = await self._settle(await self._record(row), proposal, who)
        match word:
            case "ok":
                done = Resolved(
                    topup_id=row.topup_id,
                    status=proposal.settle_as,
                    proposal=proposal.id,
                    maker=proposal.maker,
                    checker=who,
                )
                return json_response(200, done)
            case "too_soon":
                raise Conflict(_too_soon(int(float(detail))))
            case "lost" | "newer":
                raise Conflict(_unread(row.topup_id))
            case _:
                row = await self._row(request)  # what the books know by now
                by_people = (await self._record(row)).reason == Reason.RESOLVED
                stands = word if by_people else f"{word} by itself, by a late answer"
                raise Conflict(_already(row.topup_id, stands, _newest(row)))

    async def _withdraw(self, request: Request) -> Response:
        who = self._admit(request)
        asked = await read_act(request, Withdraw, example=_WITHDRAW)
        row = await self._row(request)
        proposal = next((one for one in row.proposals if one.id == asked.proposal), None)
        if proposal is None:
            raise Conflict(_other_one(row))
        given = Withdrawing(id=proposal.id, topup_id=row.topup_id, who=who, why=asked.reason)
        outcome = await from_books(self._ledger.withdraw(given), hint=_MAYBE_DONE)
        if not outcome.done or outcome.proposal is None:
            raise Conflict(_already(row.topup_id, outcome.status, outcome.proposal))
        return json_response(
            200, Proposed(topup_id=row.topup_id, proposal=proposal_shown(outcome.proposal))
        )

    async def _row(self, request: Request) -> Unresolved:
        name: str = request.path_params["topup_id"]
        rows = []
        if unbookable_id(name) is None:
            query = UnresolvedQuery(limit=1, topup_id=name)
            rows = (await from_books(self._ledger.unresolved(query))).rows
        if not rows:
            raise NotFound(f"The books know no topup {name[:40]!r}")
        return rows[0]

    async def _record(self, row: Unresolved) -> Record:
        partition = partition_of(row.customer_id, len(self._topups.keys))
        (record,) = await on_streams(self._topups.look(partition, [row.topup_id]))
        if not isinstance(record, Record):
            raise Conflict(_unread(row.topup_id))
        return record

    async def _check_asked_at(self, new: Proposal, record: Record) -> None:
        partition = partition_of(record.request.customer_id, len(self._topups.keys))
        now_ms = await on_streams(self._topups.now_ms(partition))
        if new.asked_at_ms is not None and new.asked_at_ms > now_ms:
            raise Misunderstood(f"asked_at is still to come; for example {_PROPOSE}")
        if new.settle_as == "failed" and (new.asked_at_ms or 0) <= record.quarantine_until_ms:
            raise Conflict(_too_soon(record.quarantine_until_ms))

    async def _settle(self, record: Record, proposal: Proposal, who: str) -> tuple[str, str]:
        raw: dict[str, Any] = {
            "proposal": proposal.id,
            "maker": proposal.maker,
            "said": proposal.evidence,
            "file_sha256": proposal.file_sha256,
        }
        reference = record.provider_reference
        evidence = Evidence(provider_reference=reference, raw=raw, by=who)
        reply, detail = await on_streams(
            self._topups.resolve(
                partition_of(record.request.customer_id, len(self._topups.keys)),
                record,
                to=State(proposal.settle_as),
                asked_at_ms=proposal.asked_at_ms or 0,
                provider_reference=reference or "",
                evidence=encode(evidence),
                act=ActBy(
                    id=proposal.id,
                    who=who,
                    why=f"{proposal.evidence} (proposed by {proposal.maker})",
                ),
            )
        )
        if reply == "ok":
            to, lane = proposal.settle_as, record.sold_by[0]
            log.info("topup_resolved", topup_id=record.id, provider=lane, state=to, who=who)
        return reply, detail


def _proposal(asked: Propose, row: Unresolved, who: str) -> Proposal:
    file, at = asked.file, asked.asked_at
    for name, text in (("evidence", asked.evidence), ("file name", file.name if file else "-")):
        if not (text.strip() and text.isprintable()):
            raise Misunderstood(f"{name} must be printable text; for example {_PROPOSE}")
    if asked.to == "failed" and at is None:
        raise Misunderstood(f"asked_at is missing: when was the provider asked? as in {_PROPOSE}")
    return Proposal(
        id=str(uuid7()),
        topup_id=row.topup_id,
        settle_as=asked.to,
        evidence=asked.evidence,
        file_name=file.name if file else None,
        file_sha256=sha256(file.content).hexdigest() if file else None,
        file=file.content if file else None,
        asked_at_ms=None if at is None else understood(lambda: instant_ms("asked_at", at)),
        maker=who,
    )


def _open_one(row: Unresolved, wanted: str) -> Proposal:
    """Return the proposal, if it can be confirmed."""
    _check_open(row)
    for one in row.proposals:
        if one.id == wanted and one.state == "proposed":
            return one
        if one.id == wanted:
            raise Conflict(_already(row.topup_id, row.status, one))
    raise Conflict(_other_one(row))


def _check_open(row: Unresolved) -> None:
    if row.status != "unresolved":
        raise Conflict(_already(row.topup_id, row.status, _newest(row)))


def _newest(row: Unresolved) -> Proposal | None:
    return row.proposals[0] if row.proposals else None


def _other_one(row: Unresolved) -> str:
    newest = _newest(row)
    said = "nothing is proposed" if newest is None else told(newest)
    return f"That is no proposal of {row.topup_id}: {said}; nothing was changed"


def _already(topup_id: str, status: str | None, proposal: Proposal | None) -> str:
    """Say how it stands, and who did what, and when."""
    stands = f"{topup_id} is {status or 'not there'}"
    return f"{stands}{'' if proposal is None else ', ' + told(proposal)}; nothing was changed"


def _too_soon(until_ms: int) -> str:
    return (
        f"A no counts only where the provider was asked after {timestamp(until_ms)}: until then "
        "it may still be on its way; ask them again then. Nothing was changed"
    )


def _unread(topup_id: str) -> str:
    return (
        f"The streams have no record of {topup_id} that can be read here; see: topup doctor. "
        "Nothing was changed"
    )
