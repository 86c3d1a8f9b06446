"""What `make bench-scale` has found, what days of 1, 10 and 100 times need by it, and a plot."""

import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import matplotlib as mpl
import msgspec

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

BEGIN: Final = "<!-- bench-scale: begin -->"
END: Final = "<!-- bench-scale: end -->"
DAY: Final = 257_000
"""Topups of the owner's day, on three replicas of each service."""
TIMES: Final = (1, 10, 100)
DAY_S: Final = 86_400
BUSIEST: Final = 4
"""The busiest hour against the mean: assumed; nights are quiet, and paydays are not."""
LATENCY_S: Final = 2.0
SPARE: Final = 1.5
RETENTION_DAYS: Final = 7
CPU_S_PER_1000: Final = 1.8
"""All processes at about the busiest second of a hundred days (performance.md, 916/s): here the
gateways have done their part before it is counted."""
SERVER_GB: Final = 16
"""What one primary of a cluster holds here, with as much again free for a rewrite of its log."""
SERVER_PER_S: Final = 2_500
"""Accept, begin and finish take 0.14 to 0.41 ms a topup of one server's only thread (the slowest
run in performance.md); all partitions of a server share that thread."""
mpl.rcParams.update({"svg.hashsalt": "topup", "font.size": 9, "axes.spines.top": False})


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One number of dispatchers; CPU in seconds per 1,000 topups."""

    dispatchers: int
    slots: int
    possible_per_s: float
    done_per_s: float
    cpu: dict[str, float]
    valkey_connections: int
    postgres_connections: int
    dispatcher_mb: float


class Partitions(msgspec.Struct, frozen=True, kw_only=True):
    """So many partitions on one server at rest; shares of a core by kind."""

    count: int
    valkey_connections: int
    replicas: int
    cores: dict[str, float]


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of a topup on PostgreSQL's disk and in a backup; topups a second, commands as typed."""

    bytes_each: float
    backup_per_s: float
    backup_bytes_each: float
    restore_per_s: float


class Found(msgspec.Struct, kw_only=True):
    """All of it."""

    command: str
    machine: str
    points: list[Point] = []
    partitions: list[Partitions] = []
    settled_bytes: float = 0.0
    books: Books | None = None

    @property
    def shares(self) -> dict[tuple[int, int], float]:
        """By slots and dispatchers: throughput against so many times that of one."""
        one = {point.slots: point.done_per_s for point in self.points if point.dispatchers == 1}
        return {
            (point.slots, point.dispatchers): point.done_per_s
            / (one[point.slots] * point.dispatchers)
            for point in self.points
        }


class Projected(msgspec.Struct, frozen=True, kw_only=True):
    """What one day needs, by arithmetic alone."""

    times: int
    per_day: int
    mean_per_s: float
    busiest_per_s: float
    sends_at_once: float
    slots_each: int  # QUEUE_CONCURRENCY of each of three dispatchers
    cores: float
    valkey_gb: float
    primaries: int
    books_gb_a_day: float


def projected(found: Found, times: int) -> Projected:
    """Return what so many times the day needs, at what was measured."""
    per_day = DAY * times
    assert found.books is not None
    busiest = per_day / DAY_S * BUSIEST
    memory = per_day * RETENTION_DAYS * found.settled_bytes / 1e9
    return Projected(
        times=times,
        per_day=per_day,
        mean_per_s=per_day / DAY_S,
        busiest_per_s=busiest,
        sends_at_once=busiest * LATENCY_S,
        slots_each=max(20, math.ceil(busiest * LATENCY_S * SPARE / 3)),
        cores=busiest * CPU_S_PER_1000 / 1_000,
        valkey_gb=memory,
        primaries=max(math.ceil(memory / SERVER_GB), math.ceil(busiest / SERVER_PER_S)),
        books_gb_a_day=per_day * found.books.bytes_each / 1e9,
    )


def write_report(found: Found, docs: Path) -> str:
    """Put text and plot into the folder; return the text."""
    text = "\n".join(_parts(found))
    page = docs / "scale.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    plot(found, docs / "scale.svg")
    return text


def _parts(found: Found) -> Iterable[str]:
    yield f"`{found.command}` on {found.machine}."
    yield ""
    yield (
        "| dispatchers | slots each | topups/s | of what slots and two seconds allow "
        "| of so many times one | CPU s per 1,000, less the accepting | MB of a dispatcher "
        "| connections: Valkey, PostgreSQL |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for one in found.points:
        cpu = sum(figure for kind, figure in one.cpu.items() if kind != "sandbox")
        yield (
            f"| {one.dispatchers} | {one.slots} | {one.done_per_s:.1f} "
            f"| {one.done_per_s / one.possible_per_s:.0%} "
            f"| {found.shares[one.slots, one.dispatchers]:.0%} | {cpu:.2f} "
            f"| {one.dispatcher_mb:.0f} | {one.valkey_connections}, {one.postgres_connections} |"
        )
    yield ""
    assert found.books is not None
    yield "| partitions, at rest | connections to Valkey, a replica | % of one core, all of it |"
    yield "| --- | --- | --- |"
    for two in found.partitions:
        cores = sum(share for kind, share in two.cores.items() if kind != "sandbox")
        yield f"| {two.count} | {two.valkey_connections / two.replicas:.1f} | {cores:.1%} |"
    yield ""
    yield (
        f"A million settled topups take {found.settled_bytes / 1e3:,.2f} GB of Valkey's memory for "
        f"as long as they are kept there, and {found.books.bytes_each / 1e3:,.2f} GB of "
        "PostgreSQL's disk for ever: topups, outcomes, postings and all indexes, written at once. "
        f"`topup backup` takes {found.books.backup_per_s:,.0f} of them a second, into "
        f"{found.books.backup_bytes_each / 1e3:,.2f} GB a million, and `topup restore` brings back "
        f"{found.books.restore_per_s:,.0f} a second, looked at first and counted to the digest."
    )
    yield ""
    yield from _projection(found)
    yield ""
    yield "![throughput by dispatchers, and what days of 1 to 100 times need](scale.svg)"


def _projection(found: Found) -> Iterable[str]:
    ahead = [projected(found, times) for times in TIMES]
    yield "| what a day needs | " + " | ".join(f"{one.times} times" for one in ahead) + " |"
    yield "| --- |" + " --- |" * len(ahead)
    rows: dict[str, list[str]] = {
        "topups a day": [f"{one.per_day:,}" for one in ahead],
        "a second: mean, busiest hour": [
            f"{one.mean_per_s:,.1f}, {one.busiest_per_s:,.0f}" for one in ahead
        ],
        "sends at once then": [f"{one.sends_at_once:,.0f}" for one in ahead],
        "`QUEUE_CONCURRENCY` of three dispatchers": [f"{one.slots_each:,}" for one in ahead],
        "cores then, all processes": [f"{one.cores:.1f}" for one in ahead],
        f"Valkey's memory, {RETENTION_DAYS} days kept": [
            f"{one.valkey_gb:,.1f} GB" for one in ahead
        ],
        "the same, one day kept": [f"{one.valkey_gb / RETENTION_DAYS:,.1f} GB" for one in ahead],
        f"primaries of {SERVER_GB} GB": [f"{one.primaries}" for one in ahead],
        "books, a day and a year": [
            f"{one.books_gb_a_day:,.1f} GB, {one.books_gb_a_day * 365 / 1e3:,.1f} TB"
            for one in ahead
        ],
    }
    for name, figures in rows.items():
        yield f"| {name} | {' | '.join(figures)} |"


def plot(found: Found, path: Path) -> None:
    """Draw throughput by dispatchers, and what days need."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    _draw_throughput(left, found)
    _draw_projection(right, found)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _draw_throughput(axes: Axes, found: Found) -> None:
    for slots in {point.slots: None for point in found.points}:
        points = [point for point in found.points if point.slots == slots]
        counts = [point.dispatchers for point in points]
        (line,) = axes.plot(
            counts, [point.done_per_s for point in points], "o-", label=f"{slots} slots each"
        )
        axes.plot(counts, [point.possible_per_s for point in points], ":", color=line.get_color())
    axes.set(xlabel="dispatchers", ylabel="topups/s; dotted: slots / 2 s", ylim=(0, None))
    axes.set_xticks(sorted({point.dispatchers for point in found.points}))
    axes.legend(fontsize=7, frameon=False)


def _draw_projection(axes: Axes, found: Found) -> None:
    ahead = [projected(found, times) for times in TIMES]
    per_day = [one.per_day for one in ahead]
    lines = {
        "Valkey's memory, GB, 7 days kept": [one.valkey_gb for one in ahead],
        "books, GB a day": [one.books_gb_a_day for one in ahead],
        "cores in the busiest hour": [one.cores for one in ahead],
        "sends at once then": [one.sends_at_once for one in ahead],
    }
    for name, figures in lines.items():
        axes.plot(per_day, figures, "o-", label=name)
    axes.set(xscale="log", yscale="log", xlabel="topups a day")
    axes.legend(fontsize=7, frameon=False)


def main() -> None:
    """Write the report of kept results once more."""
    write_report(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Found), Path("docs"))


if __name__ == "__main__":
    main()
