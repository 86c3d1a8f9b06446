"""The states of a topup, the moves between them, and the words that merchants see for them."""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a topup is; the names are those of the record in Redis."""

    QUEUED = "queued"
    ACTIVE = "active"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNRESOLVED = "unresolved"


MOVES: Final = {
    State.QUEUED: frozenset({State.ACTIVE, State.SUCCEEDED, State.FAILED, State.UNRESOLVED}),
    State.ACTIVE: frozenset(
        {State.ACTIVE, State.WAITING, State.SUCCEEDED, State.FAILED, State.UNRESOLVED}
    ),
    State.WAITING: frozenset({State.QUEUED, State.SUCCEEDED, State.FAILED}),
    State.SUCCEEDED: frozenset[State](),
    State.FAILED: frozenset[State](),
    State.UNRESOLVED: frozenset({State.SUCCEEDED, State.FAILED}),
}
assert set(MOVES) == set(State), "every state says where it may go"

SETTLED: Final = frozenset({State.SUCCEEDED, State.FAILED, State.UNRESOLVED})
FINAL: Final = frozenset({State.SUCCEEDED, State.FAILED})
assert all(not MOVES[state] for state in FINAL), "a final state never changes"

MERCHANT_STATUS: Final = {
    state: "processing" if state is State.ACTIVE else state.value for state in State
}
"""What `status` says in the API: as in the record, but `active` reads `processing`."""


class Reason(StrEnum):
    """Why a topup is where it is; the documented list of `reason` in the API."""

    EXPIRED = "expired"
    REFUSED = "refused"
    PROVIDER_BUSY = "provider_busy"
    NOT_SENT = "not_sent"
    NO_ANSWER = "no_answer"
    NOT_FOUND_YET = "not_found_yet"
    NEVER_ARRIVED = "never_arrived"
    LANE_HELD = "lane_held"
    UNREADABLE = "unreadable"
    RESOLVED = "resolved"
    STREAMS_LOST = "streams_lost"
