"""A soak tells what grows from what only moves."""

import random

import pytest

from tests.load.trend import Tolerance, trend

TOLERANCE = Tolerance(share=0.1, few=5.0)
MOVES = {
    "flat": [100.0] * 60,
    "noisy": [100.0 + random.Random(n).uniform(-20, 20) for n in range(60)],
    "a sawtooth": [100.0 + 10 * (n % 12) for n in range(60)],
    "up, then down again": [100.0 + 2 * min(n, 60 - n) for n in range(60)],
    "falling": [100.0 - n for n in range(60)],
    "a few more": [10.0 + n / 20 for n in range(60)],
}
GROWS = {
    "a slow leak": [100.0 + n / 2 for n in range(60)],
    "a leak under noise": [100.0 + n + random.Random(n).uniform(-20, 20) for n in range(60)],
    "a leak under a sawtooth": [100.0 + n + 10 * (n % 12) for n in range(60)],
    "more and more": [100.0 * 1.02**n for n in range(60)],
    "one step up": [100.0] * 30 + [150.0] * 30,
}


@pytest.mark.parametrize("figures", MOVES.values(), ids=MOVES)
def test_what_only_moves_is_flat(figures: list[float]) -> None:
    """A verdict that cries at noise would soon be ignored."""
    assert not trend(list(enumerate(figures)), TOLERANCE).grows


@pytest.mark.parametrize("figures", GROWS.values(), ids=GROWS)
def test_what_grows_is_seen(figures: list[float]) -> None:
    """By more than the tolerance, over the whole of it."""
    assert trend(list(enumerate(figures)), TOLERANCE).grows


def test_the_slope_is_by_the_hour() -> None:
    """One in ten seconds is 360 in an hour."""
    assert trend([(n * 10.0, float(n)) for n in range(60)], TOLERANCE).per_hour == pytest.approx(
        360
    )


def test_too_few_figures_make_no_trend() -> None:
    """Better none than a wrong one."""
    with pytest.raises(ValueError, match=r"^20 points, at least 21 make a trend$"):
        trend([(float(n), 1.0) for n in range(20)], TOLERANCE)
