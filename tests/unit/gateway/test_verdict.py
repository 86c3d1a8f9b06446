"""What is said first is what matters most."""

from typing import Any

import pytest

from services.gateway.page.frames import Counted, Flow, LaneLive, Rates
from services.gateway.page.verdict import FEW, OLD_S, verdict


def lane(provider: str = "LATCOM", **changes: Any) -> LaneLive:
    fields: dict[str, Any] = {
        "provider": provider, "state": "open", "served": True, "reason": None, "by": None,
        "since": None, "until": None, "failures": 0, "waiting": 0, "active": 0, "delayed": 0,
        "oldest_waiting_seconds": 0, "ended": 0, "success_share": None, "took": None,
    }  # fmt: skip
    return LaneLive(**{**fields, **changes})


def flow(*lanes: LaneLive, succeeded: float = 0, waiting: int = 0) -> Flow:
    counts = Counted(waiting=waiting, active=0, delayed=0, completed=0, failed=0, unresolved=0)
    rates = Rates(accepted=succeeded, succeeded=succeeded, failed=0, unresolved=0)
    return Flow(counts=counts, rates=rates, took=None, lanes=list(lanes), instances=[], recent=[])


HELD = lane("DTONE", state="held", reason="strike", by="ana")
LEFT = lane("RELOADLY", served=False, waiting=3)
OLD = lane(waiting=1, oldest_waiting_seconds=OLD_S)
POOR = lane(ended=FEW, success_share=0.5)


@pytest.mark.parametrize(
    ("seen", "tone", "sentence"),
    [
        (None, "bad", "The streams do not answer."),
        (flow(HELD, LEFT, OLD, POOR, succeeded=9), "warn", "DTONE is held."),
        (flow(HELD, lane(state="held")), "warn", "DTONE and LATCOM are held."),
        (flow(LEFT, OLD, succeeded=9), "bad", "Nobody works on RELOADLY."),
        (flow(OLD, POOR, succeeded=9), "warn", "Topups wait on LATCOM."),
        (flow(POOR, succeeded=9), "warn", "LATCOM pays too little."),
        (flow(lane(), succeeded=9), "good", "Money is moving."),
        (flow(lane()), "quiet", "All is quiet."),
        (flow(lane("RELOADLY", served=False)), "quiet", "All is quiet."),
        (flow(lane(ended=FEW - 1, success_share=0.1)), "quiet", "All is quiet."),
        (flow(lane(state="probing"), succeeded=1), "good", "Money is moving."),
    ],
)
def test_what_matters_most_is_said(seen: Flow | None, tone: str, sentence: str) -> None:
    """Nothing that is stuck hides behind what moves, and a lane nobody set up is no alarm."""
    said = verdict(seen, books_away=False)
    assert (said.tone, said.sentence) == (tone, sentence)


def test_a_held_lane_is_named_so_that_its_reason_can_be_shown() -> None:
    """Where several are, the first of them."""
    assert verdict(flow(HELD), books_away=False).lane == "DTONE"
    assert verdict(flow(lane()), books_away=False).lane is None


@pytest.mark.parametrize("succeeded", [0, 9])
def test_books_that_are_away_are_never_good_news(succeeded: float) -> None:
    """Money may move all the same; what is stuck is told of first."""
    said = verdict(flow(lane(), succeeded=succeeded), books_away=True)
    assert (said.tone, said.sentence) == ("warn", "The books do not answer.")
    assert verdict(flow(HELD), books_away=True).lane == "DTONE"


def test_quiet_does_not_hide_what_waits() -> None:
    """A topup that waits is told of, also while nothing ends."""
    assert "3 wait" in verdict(flow(lane(waiting=3), waiting=3), books_away=False).more
