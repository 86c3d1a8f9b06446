"""Is it flat, or does it grow: from figures that were taken again and again."""

from collections.abc import Sequence
from statistics import fmean, linear_regression, median
from typing import Final

import msgspec

SMOOTH: Final = 12
"""So many figures are averaged: a minute's, in which the streams are trimmed once."""
POINTS_MIN: Final = SMOOTH + 9
HOUR_S: Final = 3_600


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """How much more the last third may hold than the first: a share of that, or a few."""

    share: float
    few: float


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """The medians of the first and of the last third, smoothed, and the slope of all."""

    first: float
    last: float
    per_hour: float
    grows: bool


def trend(points: Sequence[tuple[float, float]], tolerance: Tolerance) -> Trend:
    """Judge figures by their seconds; what goes up and comes down again does not grow.

    Raises:
        ValueError: too few points.
    """
    if len(points) < POINTS_MIN:
        raise ValueError(f"{len(points)} points, at least {POINTS_MIN} make a trend")
    smooth = [
        fmean(value for _, value in points[start : start + SMOOTH])
        for start in range(len(points) - SMOOTH + 1)
    ]
    third = len(smooth) // 3
    first, middle, last = (
        median(part) for part in (smooth[:third], smooth[third:-third], smooth[-third:])
    )
    slope, _ = linear_regression(*zip(*points, strict=True))
    more = max(tolerance.share * first, tolerance.few)
    return Trend(
        first=first,
        last=last,
        per_hour=slope * HOUR_S,
        grows=last - first > more and first <= middle <= last,
    )
