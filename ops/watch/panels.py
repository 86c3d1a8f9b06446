"""What a board is made of: rows of panels, each with its queries."""

from typing import Literal

import msgspec

Kind = Literal["stat", "timeseries", "state-timeline"]


class Query(msgspec.Struct, frozen=True):
    """PromQL, and what its series are called."""

    expr: str
    legend: str = "__auto"


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One panel; `width` in 24ths of the board. Without `about` it is what its first metric says.

    `bad_from`: the value from which a figure is red; with `bad_below` it is red under it instead.
    """

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 8
    about: str | None = None
    bad_from: float | None = None
    bad_below: float | None = None
    stacked: bool = False
    maximum: float | None = None


class Row(msgspec.Struct, frozen=True):
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def _quantile(share: float, metric: str, by: str = "") -> str:
    grouped = f"{by}, le" if by else "le"
    rates = f"sum by ({grouped}) (rate({metric}_bucket[$__rate_interval]))"
    return f"histogram_quantile({share}, {rates})"


def quantiles(metric: str, by: str = "") -> tuple[Query, ...]:
    """Return how long half of them, and all but one in a hundred, take."""
    named = f"{{{{{by}}}}} " if by else ""
    return (
        Query(_quantile(0.5, metric, by), f"{named}half"),
        Query(_quantile(0.99, metric, by), f"{named}99 %"),
    )


def slowest(metric: str, legend: str) -> Query:
    """Return how long all but one in a hundred take."""
    return Query(_quantile(0.99, metric), legend)


def rate(metric: str, by: str) -> tuple[Query, ...]:
    """Return how many there are a second, by these labels."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return (Query(f"sum by ({by}) (rate({metric}[$__rate_interval]))", legend),)
