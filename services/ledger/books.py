"""Books a batch in one transaction; each effect follows from a row that was really inserted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import msgspec

from services.ledger.database import Connection
from services.ledger.entries import Outcome, Request, plain
from services.ledger.queries import queries
from services.ledger.rules import HOLD, POSTINGS, Sums, sums_of
from shared.bus.records import place
from shared.contracts.states import State

LOCK_KEY: Final = 0x746F707570  # any number that only ledgers use


class Booked(msgspec.Struct, frozen=True):
    """What of a batch was new to the books; the rest of it was known already."""

    requests: int = 0
    outcomes: int = 0
    set_aside: int = 0


class Connections(Protocol):
    """Where a connection can be had."""

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Lend one in autocommit."""
        ...


class Books:
    """The double-entry books; any number of ledgers may book into them at once."""

    def __init__(self, database: Connections) -> None:
        self._database = database

    async def book(
        self,
        requests: Sequence[Request],
        outcomes: Sequence[Outcome],
        *,
        reached: Mapping[str, str] | None = None,
        before_commit: Callable[[], None] = lambda: None,
    ) -> Booked:
        """Book what is not booked yet; durable when it returns.

        `reached` is the highest entry id of the batch, by stream.

        Raises:
            psycopg.Error: nothing of it is booked, or, where the commit's answer is lost, all.
        """
        async with self._database.connection() as connection, connection.transaction():
            booked = await _Batch(connection).book(requests, outcomes, reached or {})
            before_commit()
        return booked

    async def unknown(
        self, requests: Sequence[Request], outcomes: Sequence[Outcome]
    ) -> tuple[list[Request], list[Outcome]]:
        """Return those that are not booked just as they are: what is booked stays so.

        Raises:
            psycopg.Error: nothing is known of any.
        """
        async with self._database.connection() as connection:
            found = _Batch(connection)
            return await found.unknown_requests(requests), await found.unknown_outcomes(outcomes)


class _Batch:
    """One transaction. Locks are taken in one order: gate, topups, outcomes, totals; each by id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def book(
        self, requests: Sequence[Request], outcomes: Sequence[Outcome], reached: Mapping[str, str]
    ) -> Booked:
        alone = any(outcome.seq > 1 for outcome in outcomes)
        await self._run("queue_behind", alone=alone, key=LOCK_KEY)
        every = [*requests, *(outcome.request for outcome in outcomes)]
        first = {request.topup_id: request for request in reversed(every)}
        new_requests = await self._insert_requests(first, _last_of_each(first, outcomes))
        booked = {request.topup_id: request.digest for request in new_requests}
        booked |= dict(await self._by_id("request_digests", first.keys() - booked.keys()))

        fitting = [one for one in outcomes if booked[one.request.topup_id] == one.request.digest]
        new_outcomes, contradicting = await self._insert_outcomes(fitting)
        fresh = {request.topup_id for request in new_requests}
        await self._update_topups(one for one in new_outcomes if one.request.topup_id not in fresh)

        aside = [_aside(one) for one in requests if booked[one.topup_id] != one.digest]
        aside += [_aside(one.request, one) for one in contradicting]
        aside += [
            _aside(one.request, one)
            for one in outcomes
            if booked[one.request.topup_id] != one.request.digest
        ]
        new_aside = await self._set_aside(aside)
        await self._add_totals(sums_of(new_requests, new_outcomes), reached)
        return Booked(len(new_requests), len(new_outcomes), new_aside)

    async def unknown_requests(self, requests: Sequence[Request]) -> list[Request]:
        """Return those whose place is free, or taken by another content."""
        if not requests:
            return []
        rows = await self._run(
            "unknown_requests",
            topup_id=[request.topup_id for request in requests],
            digest=[request.digest for request in requests],
        )
        return [requests[place - 1] for (place,) in rows]

    async def unknown_outcomes(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Return those whose place, or whose request's place, is free or taken by another."""
        if not outcomes:
            return []
        rows = await self._run(
            "unknown_outcomes",
            topup_id=[outcome.request.topup_id for outcome in outcomes],
            seq=[outcome.seq for outcome in outcomes],
            digest=[outcome.digest for outcome in outcomes],
            request_digest=[outcome.request.digest for outcome in outcomes],
        )
        return [outcomes[place - 1] for (place,) in rows]

    async def _insert_requests(
        self, first: dict[str, Request], last: dict[str, Outcome]
    ) -> list[Request]:
        """Return the new ones; their rows say at once what became of them.

        A topup that is new has no outcome yet in the books, so those of the batch are its first.
        """
        if not first:
            return []
        requests = list(first.values())
        bodies = [request.body for request in requests]
        ends = [last.get(topup_id) for topup_id in first]
        rows = await self._run(
            "insert_topups",
            topup_id=list(first),
            customer_id=[body.customer_id for body in bodies],
            phone=[body.phone for body in bodies],
            country=[body.country for body in bodies],
            amount_minor=[body.amount_minor for body in bodies],
            currency=[body.currency for body in bodies],
            provider=[
                (end and end.provider) or body.provider
                for body, end in zip(bodies, ends, strict=True)
            ],
            product=[body.product for body in bodies],
            reference=[body.reference for body in bodies],
            metadata=[_json(body.metadata) for body in bodies],
            route=[_json(body.route) for body in bodies],
            accepted_at_ms=[request.accepted_at_ms for request in requests],
            digest=[request.digest for request in requests],
            status=[end.state.value if end else State.QUEUED.value for end in ends],
            reason=[end.reason if end else None for end in ends],
            provider_reference=[_provider_reference(end) if end else None for end in ends],
            settled_at_ms=[end.settled_at_ms if end else None for end in ends],
            seq=[end.seq if end else 0 for end in ends],
            line=list(range(1, len(HOLD) + 1)),
            debit=[posting.debit for posting in HOLD],
            credit=[posting.credit for posting in HOLD],
        )
        return [first[topup_id] for (topup_id,) in rows]

    async def _insert_outcomes(
        self, outcomes: Sequence[Outcome]
    ) -> tuple[list[Outcome], list[Outcome]]:
        """Return the new ones, and those whose place is taken by another content."""
        if not outcomes:
            return [], []
        first = {(one.request.topup_id, one.seq): one for one in reversed(outcomes)}
        given = list(first.values())
        rows = await self._run(
            "insert_outcomes",
            topup_id=[one.request.topup_id for one in given],
            seq=[one.seq for one in given],
            state=[one.state.value for one in given],
            reason=[one.reason for one in given],
            provider_reference=[_provider_reference(one) for one in given],
            evidence=[one.raw_evidence.decode() or None for one in given],
            settled_at_ms=[one.settled_at_ms for one in given],
            entry=[one.entry for one in given],
            digest=[one.digest for one in given],
            tried=[one.raw_tries.decode() or None for one in given],
            provider=[one.provider for one in given],
            currency=[one.request.body.currency for one in given],
            amount_minor=[one.request.body.amount_minor for one in given],
            **MOVES,
        )
        new = {(topup_id, seq): first[topup_id, seq] for topup_id, seq in rows}
        booked = {place: one.digest for place, one in new.items()}
        known = {topup_id for topup_id, seq in first.keys() - new.keys()}
        for topup_id, seq, digest in await self._by_id("outcome_digests", known):
            booked[topup_id, seq] = digest
        wrong = [one for one in outcomes if booked[one.request.topup_id, one.seq] != one.digest]
        return list(new.values()), wrong

    async def _update_topups(self, outcomes: Iterable[Outcome]) -> None:
        last = {one.request.topup_id: one for one in sorted(outcomes, key=lambda one: one.seq)}
        if last:
            await self._run(
                "update_topups",
                topup_id=list(last),
                seq=[one.seq for one in last.values()],
                state=[one.state.value for one in last.values()],
                reason=[one.reason for one in last.values()],
                provider_reference=[_provider_reference(one) for one in last.values()],
                settled_at_ms=[one.settled_at_ms for one in last.values()],
                provider=[one.provider for one in last.values()],
            )

    async def _set_aside(self, rows: Sequence[tuple[str, int, bytes, str]]) -> int:
        """Return how many were not set aside before."""
        if not rows:
            return 0
        topup_ids, seqs, digests, contents = zip(*rows, strict=True)
        new = await self._run(
            "set_aside",
            topup_id=list(topup_ids),
            seq=list(seqs),
            digest=list(digests),
            content=list(contents),
        )
        return len(new)

    async def _add_totals(self, sums: Sums, reached: Mapping[str, str]) -> None:
        if sums or reached:
            places = [place(entry) for entry in reached.values()]
            await self._run(
                "add_totals",
                quarter_ms=[total.quarter_ms for total in sums],
                kind=[total.kind for total in sums],
                currency=[total.currency for total in sums],
                transactions=[transactions for transactions, _ in sums.values()],
                amount_minor=[amount_minor for _, amount_minor in sums.values()],
                stream=list(reached),
                entry_ms=[milliseconds for milliseconds, _ in places],
                entry_seq=[sequence for _, sequence in places],
            )

    async def _by_id(self, query: str, topup_ids: Iterable[str]) -> list[Any]:
        wanted = list(topup_ids)
        return await self._run(query, topup_id=wanted) if wanted else []

    async def _run(self, query: str, **arguments: Any) -> list[Any]:  # noqa: ANN401 - one an argument of the statement
        cursor = await self._connection.execute(queries()[query], arguments)
        return await cursor.fetchall() if cursor.description else []


_LINES: Final = [
    (seq, state.value, line, posting.debit, posting.credit)
    for (seq, state), postings in POSTINGS.items()
    for line, posting in enumerate(postings, 1)
]
MOVES: Final[dict[str, Any]] = dict(
    zip(
        ("move_seq", "move_state", "line", "debit", "credit"),
        map(list, zip(*_LINES, strict=True)),
        strict=True,
    )
)


def _last_of_each(first: Mapping[str, Request], outcomes: Sequence[Outcome]) -> dict[str, Outcome]:
    """Return each topup's outcome with the highest seq; of two in one place, the earlier counts."""
    fitting = [one for one in outcomes if one.request.digest == first[one.request.topup_id].digest]
    placed = {(one.seq, one.request.topup_id): one for one in reversed(fitting)}
    return {topup_id: placed[seq, topup_id] for seq, topup_id in sorted(placed)}


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _provider_reference(outcome: Outcome) -> str | None:
    found = outcome.evidence.provider_reference if outcome.evidence else None
    return plain(found) if found else None


def _aside(request: Request, outcome: Outcome | None = None) -> tuple[str, int, bytes, str]:
    content: dict[str, Any] = {"body": msgspec.Raw(request.raw), "at": request.accepted_at_ms}
    digest, seq = request.digest, 0
    if outcome is not None:
        seq, digest = outcome.seq, request.digest + outcome.digest
        content |= {
            "entry": outcome.entry,
            "state": outcome.state.value,
            "reason": outcome.reason,
            "evidence": msgspec.Raw(outcome.raw_evidence or b"null"),
            **({"tried": outcome.raw_tries.decode()} if outcome.raw_tries else {}),
            **({"provider": outcome.provider} if outcome.provider else {}),
        }
    return request.topup_id, seq, digest, msgspec.json.encode(content).decode()
