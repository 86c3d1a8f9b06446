"""Tables and a plot of what a run found out, put into docs/performance.md between its markers."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes

from bench.account import by_kind
from bench.results import Results
from bench.rounds import Round

mpl.use("svg")
from matplotlib import pyplot as plt

BEGIN: Final = "<!-- bench: begin -->"
END: Final = "<!-- bench: end -->"
OURS: Final = "topup"
QUIET: Final = 200.0
SHOWN: Final = 0.005
TITLES: Final = {
    "constant": "constant",
    "prefer wait": "`Prefer: wait`",
    "saturation": "saturation",
    "half": "half of it",
    "sustained": "nine tenths, {seconds:.0f} s",
}
mpl.rcParams.update({"svg.hashsalt": "topup", "font.size": 9, "axes.spines.top": False})


def write_report(results: Results, docs: Path | None) -> str:
    """Return the text; with a folder, put text and plot into it."""
    text = "\n".join(_parts(results))
    if docs is not None:
        page = docs / "performance.md"
        before, _, rest = page.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
        plot(results, docs / "performance.svg")
    return text


def merged(rounds: Iterable[Round]) -> list[Round]:
    """Return one round for each kind; of several at saturation the median by topups a second."""
    groups: dict[tuple[str, str, float], list[Round]] = {}
    for one in rounds:
        groups.setdefault((one.who, one.what, one.rate), []).append(one)
    ordered = [sorted(some, key=lambda one: one.booked_per_s) for some in groups.values()]
    return [some[len(some) // 2] for some in ordered]


def ratios(rounds: Iterable[Round]) -> list[str]:
    """Say how many times better we are than each peer, in the same run."""
    found = {(one.who, one.what, one.rate): one for one in merged(rounds)}
    best = found.get((OURS, "saturation", 0.0))
    slow = found.get((OURS, "constant", QUIET))
    lines = []
    for who in {one.who: None for one in found.values() if one.who != OURS}:
        at_most, at_200 = found[who, "saturation", 0.0], found[who, "constant", QUIET]
        assert best is not None
        assert slow is not None
        lines.append(
            f"| {who} | {best.booked_per_s / at_most.booked_per_s:.1f} "
            f"| {at_most.cpu_s / best.cpu_s:.1f} | {at_200.cpu_s / slow.cpu_s:.2f} |"
        )
    return lines


def _parts(results: Results) -> Iterable[str]:
    made = results.calibration
    yield f"`{results.command}` on {results.machine}. {results.versions}."
    yield ""
    yield (
        "| who | what | offered/s | topups/s, to the last row | 202 p50 / p99 / max ms "
        "| last 202 to last row, s | CPU s per 1,000 | of which | provider |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    yield from map(_row, merged(results.rounds))
    yield ""
    yield "| times better than | topups/s at saturation | CPU at saturation | CPU at 200/s |"
    yield "| --- | --- | --- | --- |"
    yield from ratios(results.rounds)
    yield ""
    yield (
        f"The load generator makes {made.per_s:,.0f} requests/s with {made.generator_cpu:.3f} CPU "
        f"s per 1,000 against a server that only answers ({made.server_cpu:.3f}); at 500/s it "
        f"measures p50 {made.p50_ms:.2f} and p99 {made.p99_ms:.2f} ms there. Lost, booked or paid "
        f"otherwise than accepted: {sum(len(one.lost) for one in results.rounds)}."
    )
    yield from _memory(results)
    yield from _hops(results)
    yield from _slow(results)
    yield ""
    yield "![CPU and latency of each](performance.svg)"


def _row(one: Round) -> str:
    title = TITLES[one.what].format(seconds=one.count / one.rate if one.rate else 0)
    inside = {kind: s for kind, s in one.cpu.items() if kind != "sandbox" and s >= SHOWN}
    parts = ", ".join(f"{kind} {s:.2f}" for kind, s in sorted(inside.items(), key=lambda p: -p[1]))
    return (
        f"| {one.who} | {title} | {f'{one.rate:,.0f}' if one.rate else 'all'} "
        f"| {one.booked_per_s:,.0f} | {one.p50_ms:.1f} / {one.p99_ms:.1f} / {one.max_ms:.0f} "
        f"| {one.last_row_s:.2f} | {one.cpu_s:.2f} | {parts} | {one.cpu['sandbox']:.2f} |"
    )


def _memory(results: Results) -> Iterable[str]:
    if results.idle is None:
        return
    idle = results.idle
    busiest: dict[str, float] = {}
    for one in results.rounds:
        if one.who == OURS:
            for name, mb in one.resident_mb.items():
                busiest[name] = max(busiest.get(name, 0), mb)
    cores = {kind: share for kind, share in idle.cores.items() if kind != "sandbox"}
    smallest = sum(
        mb
        for name, mb in idle.resident_mb.items()
        if name in ("gateway-1", "ratelimiter-1", "dispatcher-1", "ledger-1")
    )
    yield ""
    yield (
        f"Idle, all of it uses {sum(cores.values()):.1%} of one core "
        f"({_shares(cores)}); one of each service takes {smallest:.0f} MB."
    )
    yield ""
    names = [n for n in idle.resident_mb if n not in ("sandbox-1", "postgres")]
    yield f"| MB | {' | '.join(names)} |"
    yield f"| --- |{' --- |' * len(names)}"
    yield f"| at rest | {' | '.join(f'{idle.resident_mb[n]:.0f}' for n in names)} |"
    yield f"| at most | {' | '.join(f'{busiest.get(n, 0):.0f}' for n in names)} |"


def _shares(cores: dict[str, float]) -> str:
    return ", ".join(f"{kind} {share:.1%}" for kind, share in by_kind(cores).items() if share)


def _hops(results: Results) -> Iterable[str]:
    if results.hops is None:
        return
    one = results.hops
    yield ""
    yield (
        f"One ratelimiter makes {one.checks_per_s:,.0f} checks/s in batches of three gateways; "
        f"alone, a check takes p50 {one.check_p50_ms:.2f}, p99 {one.check_p99_ms:.2f} ms. An API "
        f"key is found in {one.key_us:.1f} µs from memory; all keys come from PostgreSQL through "
        f"the ledger in p50 {one.keys_p50_ms:.2f}, p99 {one.keys_p99_ms:.2f} ms."
    )


def _slow(results: Results) -> Iterable[str]:
    if not results.slow:
        return
    yield ""
    yield (
        "| provider of 2-7 s: slots x 3 | offered/s | possible/s | reached/s | share "
        "| active at most | MB of a dispatcher |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for one in results.slow:
        yield (
            f"| {one.slots:,} | {one.offered_per_s:,.0f} | {one.possible_per_s:,.1f} "
            f"| {one.done_per_s:,.1f} | {one.share:.0%} | {one.active:,} "
            f"| {one.dispatcher_mb:.0f} |"
        )


def plot(results: Results, path: Path) -> None:
    """Draw CPU by kind of process, and the latencies of 202s at constant rates."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    _draw_cpu(left, results)
    _draw_latencies(right, results)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _draw_cpu(axes: Axes, results: Results) -> None:
    shown = [
        one
        for one in merged(results.rounds)
        if one.what == "saturation" or (one.what == "constant" and one.rate == QUIET)
    ]
    kinds = sorted({kind for one in shown for kind in one.cpu if kind != "sandbox"})
    names = [f"{one.who}\n{f'{one.rate:.0f}/s' if one.rate else 'saturation'}" for one in shown]
    colours = plt.colormaps["tab10"]
    foot = [0.0] * len(shown)
    for number, kind in enumerate(kinds):
        height = [one.cpu.get(kind, 0.0) for one in shown]
        axes.barh(names, height, left=foot, label=kind, color=colours(number % 10))
        foot = [low + more for low, more in zip(foot, height, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("CPU s per 1,000 topups")
    axes.legend(fontsize=7, frameon=False)


def _draw_latencies(axes: Axes, results: Results) -> None:
    for one in merged(results.rounds):
        if one.rate and one.what in ("constant", "half"):
            tails = [1 / (1 - n / 100) for n in range(1, 100)]
            axes.plot(tails, one.latencies_ms[:99], label=f"{one.who}, {one.rate:,.0f}/s")
    axes.set(xscale="log", yscale="log", ylabel="202, ms after it was due", xlabel="percentile")
    axes.set_xticks([2, 10, 100], ["50", "90", "99"])
    axes.legend(fontsize=7, frameon=False)


def main() -> None:
    """Write the report of kept results once more."""
    results = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Results)
    write_report(results, Path("docs"))


if __name__ == "__main__":
    main()
