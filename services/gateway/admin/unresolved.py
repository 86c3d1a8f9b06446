"""The admin API of unresolved topups: one person proposes how to settle one, another confirms."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.admin.acts import Admit, from_books, on_streams, read_act
from services.gateway.admin.figures import limbo_shown
from services.gateway.admin.proposing import (
    PROPOSE_EXAMPLE,
    check_open,
    check_provider,
    open_one,
    paid_by,
    proposal_of,
)
from services.gateway.admin.unresolved_calls import (
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
from services.gateway.admin.unresolved_pages import (
    already,
    newest,
    next_cursor,
    other_one,
    proposal_shown,
    read_unresolved,
    stands,
    too_soon,
    topup_shown,
    unread,
)
from services.gateway.answers import ServedBehind
from services.gateway.peers import Ledger
from services.gateway.refusals import (
    Conflict,
    Forbidden,
    Misunderstood,
    NotFound,
    Unavailable,
)
from services.gateway.rest import json_response
from shared.bus.limbo import Standing
from shared.bus.records import Record
from shared.bus.topups import Topups
from shared.contracts.acts import ActBy
from shared.contracts.bookable import unbookable_id
from shared.contracts.events import Evidence, encode
from shared.contracts.proposals import (
    FILE_BYTES_MAX,
    Proposal,
    Unresolved,
    UnresolvedQuery,
    Withdrawing,
)
from shared.contracts.states import FINAL, Reason, State
from shared.contracts.streams import partition_of
from shared.runtime.redis import Client

log = structlog.get_logger()

_CONFIRM: Final = '{"proposal": "0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"}'
_WITHDRAW: Final = '{"proposal": "0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11", "reason": "mistaken"}'
_BODY_BYTES_MAX: Final = 2 * FILE_BYTES_MAX  # as base64, with all else

_MAYBE_DONE: Final = "it may have been done; look"


class UnresolvedRoutes:
    """What operators may do about money in limbo; `alone`: one person is enough."""

    def __init__(
        self, client: Client, topups: Topups, ledger: Ledger, *, admit: Admit, alone: bool
    ) -> None:
        self._topups = topups
        self._standing = Standing(client, topups)
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
        await self._agree(page.rows)
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
        asked = await read_act(request, Propose, example=PROPOSE_EXAMPLE, bytes_max=_BODY_BYTES_MAX)
        row = await self._row(request)
        check_open(row)
        new = proposal_of(asked, row, who)
        record = await self._record(row)
        check_provider(new, record)
        await self._check_asked_at(new, record)
        await self._stand(new, row)
        outcome = await from_books(self._ledger.propose(new), hint=_MAYBE_DONE)
        if not outcome.done:
            await self._fall(new, row)
            raise Conflict(already(row.topup_id, outcome.status, outcome.proposal))
        assert outcome.proposal is not None, "it was kept just now"
        return json_response(
            200, Proposed(topup_id=row.topup_id, proposal=proposal_shown(outcome.proposal))
        )

    async def _confirm(self, request: Request) -> Response:
        who = self._admit(request)
        asked = await read_act(request, Confirm, example=_CONFIRM)
        row = await self._row(request)
        proposal = open_one(row, asked.proposal)
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
                raise Conflict(too_soon(int(float(detail))))
            case "lost" | "newer":
                raise Conflict(unread(row.topup_id))
            case _:
                row = await self._row(request)  # what the books know by now
                raise Conflict(already(row.topup_id, await self._stands(row, word), newest(row)))

    async def _withdraw(self, request: Request) -> Response:
        who = self._admit(request)
        asked = await read_act(request, Withdraw, example=_WITHDRAW)
        row = await self._row(request)
        proposal = next((one for one in row.proposals if one.id == asked.proposal), None)
        if proposal is None:
            raise Conflict(other_one(row))
        given = Withdrawing(id=proposal.id, topup_id=row.topup_id, who=who, why=asked.reason)
        outcome = await from_books(self._ledger.withdraw(given), hint=_MAYBE_DONE)
        if not outcome.done or outcome.proposal is None:
            raise Conflict(already(row.topup_id, outcome.status, outcome.proposal))
        await self._fall(proposal, row)
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
        await self._agree(rows)
        return rows[0]

    async def _agree(self, rows: Sequence[Unresolved]) -> None:
        """Let the streams have what the books say stands of these, whoever looks at them.

        The gateway that should have told them may be older, or have died in between; and a record
        that was restored has lost it. Where nobody hears it, the next look tells it.
        """
        said = [
            (self._partition(row), row.topup_id, one.id, one.state == "proposed")
            for row in rows
            for one in row.proposals
            if row.status == State.UNRESOLVED and one.settle_as == "succeeded"
        ]
        with suppress(Unavailable):
            await on_streams(self._standing.agree(said))

    async def _record(self, row: Unresolved) -> Record:
        (record,) = await on_streams(self._topups.look(self._partition(row), [row.topup_id]))
        if not isinstance(record, Record):
            raise Conflict(unread(row.topup_id))
        return record

    async def _stands(self, row: Unresolved, state: str) -> str:
        """Say how it has ended; before that is booked, by what its merchant is told."""
        if row.status in FINAL:
            return stands(row)
        by_people = (await self._record(row)).reason == Reason.RESOLVED
        return state if by_people else f"{state} by itself, by a late answer"

    async def _check_asked_at(self, new: Proposal, record: Record) -> None:
        partition = partition_of(record.request.customer_id, len(self._topups.keys))
        now_ms = await on_streams(self._topups.now_ms(partition))
        if new.asked_at_ms is not None and new.asked_at_ms > now_ms:
            raise Misunderstood(f"asked_at is still to come; for example {PROPOSE_EXAMPLE}")
        if new.settle_as == "failed" and (new.asked_at_ms or 0) <= record.quarantine_until_ms:
            raise Conflict(too_soon(record.quarantine_until_ms))

    async def _stand(self, new: Proposal, row: Unresolved) -> None:
        """Let no late no of the provider settle what it says was paid, before it is kept."""
        if new.settle_as == "failed":
            return
        (state,) = await on_streams(
            self._standing.stand(self._partition(row), [(row.topup_id, new.id)])
        )
        if state in ("lost", "newer"):
            raise Conflict(unread(row.topup_id))
        if state != State.UNRESOLVED:
            raise Conflict(already(row.topup_id, f"{state} by now", newest(row)))

    async def _fall(self, ended: Proposal, row: Unresolved) -> None:
        """Take that back; where nobody hears it, the next look at the topup does."""
        if ended.settle_as == "succeeded":
            with suppress(Unavailable):
                await on_streams(
                    self._standing.fall(self._partition(row), [(row.topup_id, ended.id)])
                )

    def _partition(self, row: Unresolved) -> int:
        return partition_of(row.customer_id, len(self._topups.keys))

    async def _settle(self, record: Record, proposal: Proposal, who: str) -> tuple[str, str]:
        raw: dict[str, Any] = {
            "proposal": proposal.id,
            "maker": proposal.maker,
            "said": proposal.evidence,
            "file_sha256": proposal.file_sha256,
            **({} if proposal.provider is None else {"provider": proposal.provider}),
        }
        reference, lane = record.provider_reference, paid_by(proposal, record)
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
                proposal=proposal.id,
                provider=lane,
            )
        )
        if reply == "ok":
            to = proposal.settle_as
            log.info("topup_resolved", topup_id=record.id, provider=lane, state=to, who=who)
        return reply, detail
