"""Lays out the figures: 80 columns that stay where they are, or JSON."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ops.screens.figures import Figures, Flow, Sold
from ops.screens.words import NOTHING, age, cut, moment, plain, stamp, volume
from shared.bus.queue import Counts, LaneFigures, Replica
from shared.contracts.limits import SILENT_MS
from shared.contracts.money import format_amount

_WIDTH = 80
_UNKNOWN = "unknown"
_DURABLE = {
    "fsync": "every answered write is on disk",
    "at risk": "at risk: a crash may lose accepted topups; see topup doctor",
    "unknown": "unknown: the server does not tell",
}


def as_text(figures: Figures) -> str:
    """Return the screen; ends with a line feed."""
    now = moment(figures.at_ms, figures.timezone)
    blocks = [
        [f"topup status   {now:%Y-%m-%d %H:%M:%S} {figures.timezone}"],
        _queue(figures.flow),
        _lanes(figures),
        _sold(figures),
        _replicas(figures.flow),
        _durability(figures.flow),
    ]
    return "\n\n".join("\n".join(_fitting(block)) for block in blocks) + "\n"


def as_json(figures: Figures) -> str:
    """Return the same for programs; a part whose server is away is null."""
    flow, sold = figures.flow, figures.sold
    shown = {
        "at": stamp(figures.at_ms),
        "timezone": figures.timezone,
        "queue": flow
        and {**msgspec.structs.asdict(flow.queue.counts), "total": flow.queue.counts.total},
        "lanes": flow and {name: _lane(lane) for name, lane in flow.queue.lanes.items()},
        "today": sold and _amounts(sold.totals.today_transactions, sold.totals.today_volume),
        "revenue": sold and _amounts(sold.totals.total_transactions, sold.totals.revenue),
        "unresolved": sold and _limbo(sold, figures.at_ms),
        "instances": flow and [_replica(replica) for replica in flow.queue.replicas],
        "durability": flow and flow.durability,
        "unknown": figures.unknown,
    }
    return msgspec.json.format(msgspec.json.encode(shown)).decode() + "\n"


# -- text ------------------------------------------------------------------------------------


def _queue(flow: Flow | None) -> Iterator[str]:
    names = [*Counts.__struct_fields__, "total"]
    yield f"{'Queue':<12}" + "".join(f"{name:>{_column(name)}}" for name in names)
    if flow is None:
        yield _unknown()
    else:
        counts = flow.queue.counts
        yield " " * 12 + "".join(f"{getattr(counts, name):>{_column(name)}}" for name in names)


def _column(name: str) -> int:
    return max(len(name) + 2, 8)


def _lanes(figures: Figures) -> Iterator[str]:
    heads = f"{'waiting':>9}{'active':>8}{'delayed':>9}{'oldest':>13}{'since':>13}{'until':>10}"
    yield f"{'Lanes':<10}{'state':<8}{heads}"
    if figures.flow is None:
        yield _unknown()
        return
    for provider, lane in figures.flow.queue.lanes.items():
        oldest = age(lane.oldest_waiting_seconds) if lane.waiting else NOTHING
        since = _clock(lane.since_ms, figures)
        until = _clock(lane.until_ms, figures)
        yield (
            f"{cut(provider, 9):<10}{lane.state:<8}{lane.waiting:>9}{lane.active:>8}"
            f"{lane.delayed:>9}{oldest:>13}{since:>13}{until:>10}"
        )
        if not lane.served:
            yield f"{'':<10}no dispatcher has its provider's access: it is not set up, or none runs"
        if lane.reason:
            yield f"{'':<10}{lane.state} because: {plain(lane.reason)}"


def _clock(at_ms: int | None, figures: Figures) -> str:
    """Return the time of day; the day too where it is another."""
    if at_ms is None:
        return NOTHING
    then, now = (moment(ms, figures.timezone) for ms in (at_ms, figures.at_ms))
    return f"{then:%H:%M:%S}" if then.date() == now.date() else f"{then:%m-%d %H:%M}"


def _sold(figures: Figures) -> Iterator[str]:
    yield f"{'Sold':<12}{'topups':>12}   volume"
    if figures.sold is None:
        yield _unknown()
        return
    totals, since_ms = figures.sold.totals, figures.sold.unresolved_since_ms
    oldest = "" if since_ms is None else f", oldest {age((figures.at_ms - since_ms) / 1_000)}"
    yield f"{'  today':<12}{totals.today_transactions:>12}   {volume(totals.today_volume)}"
    yield f"{'  in all':<12}{totals.total_transactions:>12}   {volume(totals.revenue)}"
    limbo = f"{volume(totals.unresolved_volume)}{oldest}"
    yield f"{'In limbo':<12}{totals.unresolved_transactions:>12}   {limbo}"


def _replicas(flow: Flow | None) -> Iterator[str]:
    yield f"{'Instances':<14}{'id':<36}{'active':>11}{'last beat':>19}"
    if flow is None:
        yield _unknown()
        return
    for replica in flow.queue.replicas:
        active = f"{replica.active}/{replica.concurrency}" if replica.concurrency else NOTHING
        beat = age(replica.silent_ms / 1_000)
        silent = replica.silent_ms > SILENT_MS
        yield (
            f"  {plain(replica.service):<12}{cut(plain(replica.id), 35):<36}{active:>11}"
            f"{f'silent {beat}' if silent else beat:>19}"
        )
    if not flow.queue.replicas:
        yield "  none: nobody serves these streams"


def _durability(flow: Flow | None) -> Iterator[str]:
    yield f"{'Durability':<14}{_UNKNOWN if flow is None else _DURABLE[flow.durability]}"


def _unknown() -> str:
    return f"  {_UNKNOWN}"


def _fitting(lines: Iterable[str]) -> list[str]:
    return [cut(line.rstrip(), _WIDTH) for line in lines]


# -- JSON ------------------------------------------------------------------------------------


def _lane(lane: LaneFigures) -> dict[str, Any]:
    shown = msgspec.structs.asdict(lane)
    since_ms, until_ms = shown.pop("since_ms"), shown.pop("until_ms")
    return {**shown, "since": since_ms and stamp(since_ms), "until": until_ms and stamp(until_ms)}


def _replica(replica: Replica) -> dict[str, Any]:
    shown = msgspec.structs.asdict(replica)
    return {**shown, "alive": replica.silent_ms <= SILENT_MS}


def _amounts(transactions: int, minor_by_currency: dict[str, int]) -> dict[str, Any]:
    amounts = {name: format_amount(minor, name) for name, minor in minor_by_currency.items()}
    return {"transactions": transactions, "volume": amounts}


def _limbo(sold: Sold, at_ms: int) -> dict[str, Any]:
    totals, since_ms = sold.totals, sold.unresolved_since_ms
    oldest = None if since_ms is None else max(at_ms - since_ms, 0) // 1_000
    counted = _amounts(totals.unresolved_transactions, totals.unresolved_volume)
    return {**counted, "oldest_seconds": oldest}
