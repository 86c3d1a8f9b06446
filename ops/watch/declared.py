"""Every metric that a service declares, read from its declaration."""

import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Final

import msgspec
from prometheus_client import Counter, Gauge, Histogram, Info
from prometheus_client.metrics import MetricWrapperBase

import services.dispatcher.metrics
import services.gateway.metrics
import services.ledger.metrics
import services.ratelimiter.metrics
import shared.runtime.metrics

DECLARED_BY: Final[Mapping[str, ModuleType]] = {
    "every service": shared.runtime.metrics,
    "gateway": services.gateway.metrics,
    "ratelimiter": services.ratelimiter.metrics,
    "dispatcher": services.dispatcher.metrics,
    "ledger": services.ledger.metrics,
}
FOREIGN: Final = frozenset(
    {
        "up",  # of Prometheus itself
        "process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes",
        "kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes",
    }
)  # fmt: skip
"""What rules and panels use besides ours: of its scraper, each process, and Kubernetes' volumes."""
_SUFFIXES: Final = {
    "counter": ("_total",), "gauge": ("",), "info": ("_info",),
    "histogram": ("_bucket", "_count", "_sum"),
}  # fmt: skip
_IN_QUERY: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'")


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric; `samples` are the names by which queries know it."""

    name: str
    kind: str
    about: str
    labels: tuple[str, ...]
    samples: tuple[str, ...]


def metrics_of(module: ModuleType) -> Iterator[Metric]:
    """Yield what the module declares, in its order; a child that it keeps is its parent's."""
    found = [
        _read(value)
        for value in vars(module).values()
        if isinstance(value, Counter | Gauge | Histogram | Info)
    ]
    yield from {metric.name: metric for metric in found}.values()


def all_metrics() -> list[Metric]:
    """Return the metrics of all services."""
    return [metric for module in DECLARED_BY.values() for metric in metrics_of(module)]


def names_in(query: str) -> set[str]:
    """Return the names in a PromQL query that are metrics of ours, foreign ones, or recorded."""
    words = set(_IN_QUERY.findall(_QUOTED.sub("", query)))
    return {word for word in words if word.startswith("topup_") or ":" in word or word in FOREIGN}


def _read(metric: MetricWrapperBase) -> Metric:
    (family,) = metric.describe()
    labels = metric._labelnames  # noqa: SLF001 - the library tells them to nobody else
    return Metric(
        name=family.name + _SUFFIXES[family.type][0] * (family.type in ("counter", "info")),
        kind=family.type,
        about=family.documentation,
        labels=tuple(labels),
        samples=tuple(family.name + suffix for suffix in _SUFFIXES[family.type]),
    )
