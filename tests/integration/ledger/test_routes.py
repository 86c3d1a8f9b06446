"""Topups with provider AUTO in the books: whoever ended them, in any order, and nobody else."""

import itertools
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from services.ledger.audit import Audit
from services.ledger.books import Books
from services.ledger.entries import Outcome, Request, Unreadable, read_outcome, read_request
from shared.contracts.events import AUTO, TopupRequested, encode
from shared.contracts.states import State
from tests.integration.ledger.conftest import fresh, opened
from tests.integration.ledger.entries import AT_MS, outcome, outcome_fields, topup_id

pytestmark = pytest.mark.integration

BODY = encode(
    TopupRequested(
        customer_id="C1",
        phone="+525512345678",
        country="MX",
        amount_minor=1_000,
        currency="MXN",
        provider=AUTO,
        product="",
        route={"LATCOM": "XOOM_10_MXN", "RELOADLY": "R10"},
    )
)


def routed(state: State | None = None, *, seq: int = 1, provider: str = "") -> dict[str, bytes]:
    """Return the fields of an entry of one topup that two may have."""
    fields = {"id": topup_id(1).encode(), "body": BODY, "at": b"%d" % AT_MS}
    if state is None:
        return fields
    named = {"provider": provider.encode()} if provider else {}
    return {**outcome_fields(1, state, seq=seq), **fields, **named}


def ended(state: State, provider: str, *, seq: int = 1) -> Outcome:
    """Return such an outcome as the ledger reads it."""
    return read_outcome(f"{AT_MS + 1_000 * seq}-0", routed(state, seq=seq, provider=provider))


def requested() -> Request:
    """Return the request; one that was moved comes again, from another lane."""
    return read_request("0-1", routed())


async def booked(url: str, entries: Sequence[Request | Outcome]) -> tuple[list[Any], str]:
    """Book each alone; return the topup's row, and the digest of sound books."""
    async with opened(url) as database:
        books = Books(database)
        for one in entries:
            requests = [one] if isinstance(one, Request) else []
            await books.book(requests, [one] if isinstance(one, Outcome) else [])
        audit = Audit(database)
        assert not [check for check in await audit.verify() if check.broken]
        digest = await audit.digest()
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute(
            "SELECT provider, coalesce(route ->> provider, product), status FROM topups"
        )
        return await cursor.fetchall(), digest


async def test_any_order_and_repeat_names_who_ended_it(postgres_url: str, template: str) -> None:
    """AUTO until it is known; then the provider of the latest outcome, by whatever way it came."""
    entries: list[Request | Outcome] = [
        requested(),
        ended(State.UNRESOLVED, "RELOADLY"),
        ended(State.SUCCEEDED, "RELOADLY", seq=2),
    ]
    seen = set()
    for order in itertools.permutations([*entries, requested()]):
        with fresh(postgres_url, template) as url:
            rows, digest = await booked(url, order)
        assert rows == [("RELOADLY", "R10", "succeeded")]
        seen.add(digest)
    assert len(seen) == 1


async def test_until_it_is_settled_it_is_nobodys(postgres_url: str, template: str) -> None:
    """And after a loss in which nobody knows who had it."""
    with fresh(postgres_url, template) as url:
        rows, _ = await booked(url, [requested()])
        assert rows == [(AUTO, "", "queued")]
        rows, _ = await booked(url, [ended(State.UNRESOLVED, "")])
        assert rows == [(AUTO, "", "unresolved")]


def test_an_outcome_of_nobody_in_the_route_is_not_booked() -> None:
    """Nor a route that is none, nor AUTO without one."""
    with pytest.raises(Unreadable, match="none of its route"):
        ended(State.SUCCEEDED, "ELSEWHERE")
    plain = outcome(1, State.SUCCEEDED).request.raw
    for body in (plain.replace(b"LATCOM", b"AUTO"), BODY.replace(b"AUTO", b"LATCOM")):
        with pytest.raises(Unreadable, match="does not fit its route"):
            read_request("0-1", {**routed(), "body": body})
