"""Lays out a frame of the live picture for a terminal: what matters first, each in its place."""

import datetime as dt
from collections.abc import Iterable
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ops.screens.words import NOTHING, age, cut, plain
from services.gateway.page.frames import Ended, Flow, Frame, LaneLive, Rates, Sold, Took

_TONES: Final = {"good": "green", "quiet": "bright_black", "warn": "yellow", "bad": "red"}
_ENDS: Final = {"succeeded": "green", "failed": "red", "unresolved": "magenta"}
_SOFT: Final = "bright_black"


def picture(frame: Frame, *, lost: str = "") -> RenderableType:
    """Return the screen; `lost` says why it is an old one."""
    parts: list[RenderableType] = [_head(frame, lost), Text()]
    if frame.flow is not None:
        parts += [_rates(frame.flow), _sold(frame.sold), Text(), _lanes(frame.flow.lanes), Text()]
        parts += [_replicas(frame.flow), Text(), _recent(frame.flow.recent)]
    else:
        parts += [_sold(frame.sold)]
    return Group(*parts)


def _head(frame: Frame, lost: str) -> Text:
    verdict = frame.verdict
    more = verdict.more
    for lane in frame.flow.lanes if frame.flow else ():
        if lane.provider == verdict.lane:
            more = _why(lane)
    text = Text.assemble(
        ("● ", "red" if lost else _TONES[verdict.tone]), (verdict.sentence, "bold"),
        f"  {plain(more)}\n",
        (f"  {_clock(frame.at)} through {plain(frame.gateway)}", _SOFT),
    )  # fmt: skip
    for problem in [*frame.unknown.values(), *filter(None, [lost])]:
        text.append(f"  {plain(problem)}", "red")
    return text


def _why(lane: LaneLive) -> str:
    until = f"until {_clock(lane.until)}" if lane.until else "until somebody releases it"
    since = f" since {_clock(lane.since)}" if lane.since else ""
    return f"{lane.reason}: by {lane.by}{since}, {until}"


def _rates(flow: Flow) -> Table:
    rates = flow.rates or Rates(accepted=0, succeeded=0, failed=0, unresolved=0)
    table = _grid(6, 11)
    table.add_row(*(Text(name, _SOFT) for name in (
        "accepted/s", "succeeded/s", "failed/s", "half in", "95 % in", "waiting",
    )))  # fmt: skip
    counts = flow.counts
    table.add_row(
        *(Text(f"{rate:.1f}" if flow.rates else NOTHING, "bold") for rate in (
            rates.accepted, rates.succeeded, rates.failed,
        )),
        *(Text(each, "bold") for each in _times(flow.took)),
        Text.assemble((f"{counts.waiting:,}", "bold"), (f" +{counts.active:,}", _SOFT)),
    )  # fmt: skip
    return table


def _sold(sold: Sold | None) -> Text:
    if sold is None:
        return Text("sold and in limbo: unknown", "red")
    limbo, today = sold.unresolved, sold.today
    return Text.assemble(
        ("today ", _SOFT), f"{today.transactions:,} topups, {_money(today.volume)}   ",
        ("in limbo ", _SOFT),
        (f"{limbo.transactions:,}, {_money(limbo.volume)}",
         "magenta" if limbo.transactions else ""),
    )  # fmt: skip


def _lanes(lanes: Iterable[LaneLive]) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style=_SOFT)
    table.add_column("lane", min_width=9)
    table.add_column("state", min_width=10)
    for name in ("paid", "of", "half", "95 %", "waits", "busy", "parked", "oldest"):
        table.add_column(name, justify="right", no_wrap=True)
    for lane in lanes:
        state = lane.state if lane.served or lane.state != "open" else "not served"
        colour = {"open": "green", "held": "yellow", "probing": "cyan"}.get(state, _SOFT)
        share = NOTHING if lane.success_share is None else f"{lane.success_share:.1%}"
        oldest = age(lane.oldest_waiting_seconds) if lane.waiting else NOTHING
        table.add_row(
            lane.provider, Text(state, colour), share, f"{lane.ended or 0:,}", *_times(lane.took),
            f"{lane.waiting:,}", f"{lane.active:,}", f"{lane.delayed:,}", oldest,
        )  # fmt: skip
    return table


def _replicas(flow: Flow) -> Text:
    text = Text()
    for one in flow.instances:
        busy = f" {one.active}/{one.concurrency}" if one.concurrency else ""
        text.append(plain(one.id)).append(f"{busy}   ", _SOFT)
    return text if flow.instances else Text("no replica has spoken in the last 5 s", "red")


def _recent(recent: Iterable[Ended]) -> Table:
    table = _grid(6, 8)
    for one in recent:
        took = "people" if one.took_ms is None else _milliseconds(one.took_ms)
        table.add_row(
            Text(_clock(one.at), _SOFT), Text(one.status, _ENDS.get(one.status, "")),
            Text(f"{one.amount} {one.currency}"), Text(cut(plain(one.provider), 9)),
            Text(plain(one.phone)),
            Text(took, _SOFT),
        )  # fmt: skip
    return table


def _grid(columns: int, width: int) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(columns):
        table.add_column(min_width=width, no_wrap=True)
    return table


def _times(took: Took | None) -> tuple[str, str]:
    if took is None:
        return NOTHING, NOTHING
    return _milliseconds(took.p50_ms), _milliseconds(took.p95_ms)


def _milliseconds(ms: int) -> str:
    return f"{ms} ms" if ms < 1_000 else f"{ms / 1_000:.2f} s"  # noqa: PLR2004 - a second


def _money(volume: dict[str, str]) -> str:
    return ", ".join(f"{amount} {currency}" for currency, amount in sorted(volume.items())) or "0"


def _clock(instant: str) -> str:
    """Return the time of day where this terminal is."""
    return f"{dt.datetime.fromisoformat(instant).astimezone():%H:%M:%S}"
