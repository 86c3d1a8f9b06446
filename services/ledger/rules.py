"""What the books say: which postings and totals belong to what, as data and pure functions."""

import datetime as dt
from collections.abc import Iterable
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from services.ledger.entries import Outcome, Request
from shared.contracts.states import FINAL, State

QUARTER_MS: Final = 900_000
"""Every time zone's midnight is at a whole quarter of an hour of UTC."""


class Posting(msgspec.Struct, frozen=True):
    """The amount moves between two accounts; what a customer has is credit, what we have debit."""

    debit: str
    credit: str


HOLD: Final = (Posting("available", "held"),)
_SPENT: Final = Posting("cost", "payable")  # what the provider is owed for it

POSTINGS: Final = {
    (1, State.SUCCEEDED): (Posting("held", "charged"), _SPENT),
    (1, State.FAILED): (Posting("held", "available"),),
    (1, State.UNRESOLVED): (Posting("held", "limbo"),),
    (2, State.SUCCEEDED): (Posting("limbo", "charged"), _SPENT),
    (2, State.FAILED): (Posting("limbo", "available"),),
}
"""By seq and state, so that no posting depends on what was booked before it."""
assert {state for seq, state in POSTINGS if seq == 2} == FINAL, "what is resolved is final"  # noqa: PLR2004 - the second outcome

ALL_TIME_MS: Final = 0
"""The quarter under which all of them are counted."""

Kind = str
"""accepted, a state that a topup was settled in, or resolved: it has left `unresolved`."""


class Total(msgspec.Struct, frozen=True, order=True):
    """What is counted together."""

    quarter_ms: int
    kind: Kind
    currency: str


Sums = dict[Total, tuple[int, int]]
"""Transactions and amount in minor units."""


def sums_of(requests: Iterable[Request], outcomes: Iterable[Outcome]) -> Sums:
    """Return what newly booked requests and outcomes add to the totals."""
    sums: Sums = {}
    for request in requests:
        _add(sums, "accepted", request, request.accepted_at_ms)
    for outcome in outcomes:
        _add(sums, outcome.state.value, outcome.request, outcome.settled_at_ms)
        if outcome.seq > 1:
            _add(sums, "resolved", outcome.request, outcome.settled_at_ms)
    return sums


def midnight_ms(now_ms: int, timezone: str) -> int:
    """Return when today began in the time zone."""
    zone = ZoneInfo(timezone)
    today = dt.datetime.fromtimestamp(now_ms / 1_000, zone).date()
    return int(dt.datetime.combine(today, dt.time(), zone).timestamp()) * 1_000


def _add(sums: Sums, kind: Kind, request: Request, at_ms: int) -> None:
    for quarter_ms in (ALL_TIME_MS, at_ms - at_ms % QUARTER_MS):
        total = Total(quarter_ms, kind, request.body.currency)
        transactions, amount_minor = sums.get(total, (0, 0))
        sums[total] = (transactions + 1, amount_minor + request.body.amount_minor)
