"""The gateway's own share of a limit, for when no ratelimiter answers."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.limits import WINDOW_MS, ShareWindow
from shared.contracts.peers import LimitVerdict


@given(st.lists(st.integers(0, 40_000), max_size=40), st.integers(0, 5))
def test_no_minute_holds_more_than_the_share(steps: list[int], share: int) -> None:
    """And none is wasted: refused means that the share is used up."""
    window, now_ms, taken = ShareWindow(), 1_000_000, list[int]()
    for step_ms in steps:
        now_ms += step_ms
        lately = sum(now_ms - WINDOW_MS < moment for moment in taken)
        verdict = window.take("A", share, now_ms=now_ms)
        assert verdict.allowed == (lately < share)
        assert verdict.remaining == max(share - lately - verdict.allowed, 0)
        if verdict.allowed:
            taken.append(now_ms)


def test_the_reset_is_when_a_place_comes_back() -> None:
    """Retry-After is exact."""
    window = ShareWindow()
    window.take("A", 2, now_ms=0)
    window.take("A", 2, now_ms=20_000)
    assert window.take("A", 2, now_ms=50_000) == LimitVerdict(False, 0, 10_000)
    assert window.take("A", 2, now_ms=60_000).allowed
    assert window.take("B", 1, now_ms=60_000).allowed


def test_a_share_that_shrank_is_waited_for() -> None:
    """With another gateway heard of, more must leave before one may come."""
    window = ShareWindow()
    for second in range(4):
        window.take("A", 4, now_ms=second * 1_000)
    assert window.take("A", 2, now_ms=10_000) == LimitVerdict(False, 0, 52_000)
    assert window.take("A", 0, now_ms=10_000) == LimitVerdict(False, 0, 60_000)
