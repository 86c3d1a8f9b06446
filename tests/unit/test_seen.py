"""What a merchant is told of a topup that is still open, by its record and its lane alone."""

import pytest

from shared.bus.records import LaneState, Record, Seen
from shared.contracts.events import TopupRequested
from shared.contracts.states import State

NOW = 1_000_000
DEADLINE = NOW + 600_000
OPEN = LaneState()
FOR_GOOD = LaneState(state="held", reason="strike", by="ana")


def held(until: int) -> LaneState:
    return LaneState(state="held", until=until)


def record(state: State, *, due: int | None = None, doubt: str = "") -> Record:
    request = TopupRequested(
        customer_id="C", phone="+525512345678", country="MX", amount_minor=1_000,
        currency="MXN", provider="LATCOM", product="XOOM_10_MXN",
    )  # fmt: skip
    return Record(
        id="t", state=state, lane="LATCOM", request=request, accepted_at_ms=NOW, settled_at_ms=None,
        reason="provider_busy", provider_reference=None, attempt=1, seq=0, doubt=doubt,
        quarantine_until_ms=0, deliver_before_ms=DEADLINE, due_ms=due,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "lane", "expected"),
    [
        (record(State.QUEUED), OPEN, Seen(State.QUEUED)),
        (record(State.QUEUED), FOR_GOOD, Seen(State.WAITING, "lane_held")),
        (record(State.QUEUED), held(NOW + 5), Seen(State.WAITING, "lane_held", NOW + 5)),
        (record(State.QUEUED), held(NOW), Seen(State.WAITING, "lane_held")),
        (
            record(State.QUEUED),
            held(DEADLINE + 1),
            Seen(State.WAITING, "lane_held", DEADLINE),
        ),
        (
            record(State.QUEUED, doubt="n1"),
            held(DEADLINE + 1),
            Seen(State.WAITING, "lane_held", DEADLINE + 1),
        ),
        (
            record(State.QUEUED),
            LaneState(state="probing", probe_until=NOW + 9),
            Seen(State.WAITING, "lane_held"),
        ),
        (record(State.ACTIVE), FOR_GOOD, Seen(State.ACTIVE)),
        (
            record(State.WAITING, due=NOW + 7),
            OPEN,
            Seen(State.WAITING, "provider_busy", NOW + 7),
        ),
        (record(State.WAITING, due=NOW - 7), OPEN, Seen(State.WAITING, "provider_busy")),
        (record(State.WAITING, due=NOW + 7), FOR_GOOD, Seen(State.WAITING, "lane_held")),
        (
            record(State.WAITING, due=NOW + 7),
            held(NOW + 50),
            Seen(State.WAITING, "lane_held", NOW + 50),
        ),
        (
            record(State.WAITING, due=NOW + 70),
            held(NOW + 50),
            Seen(State.WAITING, "provider_busy", NOW + 70),
        ),
    ],
)
def test_who_waits_is_told_for_what_and_until_when(
    shown: Record, lane: LaneState, expected: Seen
) -> None:
    """The lane's hold where that lasts longer, else its own next try; null where nobody knows."""
    assert shown.seen(lane, NOW) == expected


def test_what_is_settled_keeps_its_reason_whatever_its_lane_does() -> None:
    """A lane says nothing of what has ended."""
    assert record(State.FAILED).seen(FOR_GOOD, NOW) == Seen(State.FAILED, "provider_busy")
