"""The verdict of a run: one table that a sceptic accepts, and the story of each violation."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.chaos.run import Happened, Told
from tests.chaos.schedule import KILLS, NETWORK
from tests.chaos.sources import Told as Heard
from tests.chaos.story import story
from tests.chaos.verifier import COLUMNS, Violation, losing_sales

SLOTS: Final = 20
REPLICAS_MAX: Final = 5
PROVIDER_LINKS: Final = ("dispatcher-provider", "dispatcher-second-provider")
STORIES_MAX: Final = 3
WORST: Final = ("paid twice", "went on in doubt")
ORDER: Final = (*WORST, *(name for name in COLUMNS if name not in WORST))
"""The worst first: a run that ends as soon as something is paid twice has more that is open."""
CUT_OFF: Final = 5
"""So many sends of an isolated replica may be begun without its knowing, and left unmade."""
OPEN_ROUNDS_MAX: Final = 25
"""How long a topup may be open while nothing goes wrong: a lease, a takeover, three tries.

Counted in rounds: one after another, topups are accepted and end, one a second at most. So a
machine on which all is slow has more time, and one topup that lies about while others pass has not.
"""
ROUND_MS_MIN: Final = 1_000
BACKOFF_ROUNDS_MAX: Final = 60
QUARANTINE_ROUNDS: Final = 80
ASKING_ROUNDS: Final = 45
"""The second provider is asked so long, at most, about what it has never heard of."""


def print_verdict(told: Told, console: Console) -> bool:
    """Print it; return whether everything held."""
    violations = [*told.violations, *_too_much_is_unresolved(told), *_left_lying(told)]
    violations.sort(key=lambda one: (ORDER.index(one.column), one))
    console.print(_figures(told, violations))
    console.print(_recoveries(told))
    for violation in violations[:20]:
        console.print(f"✗ {violation.column}: {violation.whose}: {violation.seen}", style="red")
    for whose in list(dict.fromkeys(v.whose for v in violations))[:STORIES_MAX]:
        for line in story(told, whose):
            console.print(line, markup=False, highlight=False)
    verdict = "nothing lost, nothing paid twice" if not violations else "BROKEN"
    style = "bold green" if not violations else "bold red"
    console.print(f"{verdict} (SEED={told.settings.seed})", style=style)
    return not violations


def _figures(told: Told, violations: Sequence[Violation]) -> Table:
    ended = Counter(heard.at_last for heard in told.sources.merchant.values())
    broken = Counter(violation.column for violation in violations)
    kinds = Counter(one.fault.kind for one in told.happened)
    rows = {
        "sold by": f"LATCOM, which can do: {told.settings.provider}; AUTO by RELOADLY too",
        "took": f"{told.took_s:.0f} s, {len(told.happened)} faults",
        "process kills": sum(kinds[kind] for kind in KILLS),
        "network faults": sum(kinds[kind] for kind in NETWORK),
        "accepted": sum(bool(heard.ids) for heard in told.sources.merchant.values()),
        "asked of both": sum(len(told.sources.asked(one)) > 1 for one in told.sources.ledger),
        "succeeded": ended["succeeded"],
        "failed": ended["failed"],
        **{whose: f"{_in_doubt(one)} (at most {most})" for whose, one, most in _bounds(told)},
        **{column: broken[column] for column in COLUMNS},
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def _bounds(told: Told) -> Iterator[tuple[str, list[Heard], int]]:
    """Yield sales, and how many of them may be left in doubt.

    Where the first provider can tell, only those are that the second may have: what that one has
    never heard of stays a question.
    """
    heard = list(told.sources.merchant.values())
    if not told.settings.provider_kinds:
        yield "unresolved", heard, _doubtful(told, heard, PROVIDER_LINKS)
        return
    # a second no of a provider that dedupes may hide a first yes
    tricky = ("901",) if told.settings.provider == "dedupes" else ()
    first = [one for one in heard if not _asks(one)]
    others = [one for one in heard if _asks(one)]
    yield "unresolved at LATCOM", first, _ending(first, tricky)
    most = _ending(others, tricky) + _doubtful(told, others, PROVIDER_LINKS[1:])
    yield "unresolved of several", others, most if others else 0


def _ending(heard: Sequence[Heard], endings: tuple[str, ...]) -> int:
    return sum(one.sale.phone.endswith(endings) for one in heard)


def _doubtful(told: Told, heard: Sequence[Heard], links: Sequence[str]) -> int:
    """Count answers that get lost, and what was in flight in the killed."""
    dying = sum(
        one.fault.target == "dispatcher" and one.fault.kind in ("kill", "stop")
        for one in told.happened
    )
    dying += REPLICAS_MAX * sum(one.fault.kind in KILLS - {"kill"} for one in told.happened)
    cut = sum(one.fault.target in links for one in told.happened)
    isolated = sum(one.fault.kind == "isolate" for one in told.happened)
    return losing_sales(heard) + SLOTS * (dying + REPLICAS_MAX * cut) + CUT_OFF * isolated


def _in_doubt(heard: Sequence[Heard]) -> int:
    return sum(one.at_last == "unresolved" for one in heard)


def _too_much_is_unresolved(told: Told) -> list[Violation]:
    return [
        Violation("told wrong", whose, f"{_in_doubt(heard)} in doubt, at most {most} may be")
        for whose, heard, most in _bounds(told)
        if _in_doubt(heard) > most
    ]


def _left_lying(told: Told) -> list[Violation]:
    """Return the topups that stayed open for long though nothing went wrong meanwhile."""
    most = OPEN_ROUNDS_MAX
    if any("provider" in one.fault.target for one in told.happened):
        most += BACKOFF_ROUNDS_MAX
    if told.settings.provider == "inquiry":
        most += QUARANTINE_ROUNDS
    ways, found = _ways(told), []
    asking = {id_ for one in told.sources.merchant.values() if _asks(one) for id_ in one.ids}
    pace = Pace(ways.values())
    for topup_id, (accepted_ms, settled_ms) in ways.items():
        from_ms, to_ms = _quiet(told.happened, accepted_ms, settled_ms)
        may = max(most, OPEN_ROUNDS_MAX + ASKING_ROUNDS) if topup_id in asking else most
        if to_ms - from_ms <= may * ROUND_MS_MIN:
            continue
        rounds = pace.rounds(from_ms, to_ms)
        if rounds > may:
            seen = f"open for {rounds} rounds, {(to_ms - from_ms) / 1_000:.0f} s of quiet"
            found.append(Violation("not at rest", topup_id, seen))
    return found


def _asks(heard: Heard) -> bool:
    """Tell whether the second provider may have it."""
    return heard.sale.provider != "LATCOM"


def _ways(told: Told) -> dict[str, tuple[int, int]]:
    """Return when each topup was accepted and when it ended."""
    streams = told.sources.streams
    return {
        topup_id: (streams.accepted_ms[topup_id], settled_ms)
        for topup_id, settled_ms in streams.settled_ms.items()
        if topup_id in streams.accepted_ms
    }


def _quiet(happened: Sequence[Happened], from_ms: int, to_ms: int) -> tuple[int, int]:
    """Return the longest time in between in which no fault began, lasted or ended."""
    quiets = []
    for one in sorted(happened, key=lambda one: one.from_ms):
        quiets.append((from_ms, min(one.from_ms, to_ms)))
        from_ms = max(from_ms, one.to_ms)
    return max([*quiets, (from_ms, to_ms)], key=lambda quiet: quiet[1] - quiet[0])


class Pace:
    """How fast topups went their way, (accepted, ended) in ms."""

    def __init__(self, ways: Iterable[tuple[int, int]]) -> None:
        in_order = sorted(ways)
        self._accepted = [accepted_ms for accepted_ms, _ in in_order]
        ends = [ended_ms for _, ended_ms in reversed(in_order)]
        self._first_ends = list(accumulate(ends, min))[::-1]  # of this one and all later ones

    def rounds(self, from_ms: int, to_ms: int) -> int:
        """Return how many went their whole way one after another, at most one a second."""
        count, free_ms = 0, from_ms
        while (place := bisect_left(self._accepted, free_ms)) < len(self._accepted):
            if self._first_ends[place] > to_ms:
                break
            count, free_ms = count + 1, max(self._first_ends[place], free_ms + ROUND_MS_MIN)
        return count


def _recoveries(told: Told) -> Table:
    """Tell how long after each kind of fault the next new topup was paid."""
    table = Table(box=None, pad_edge=False)
    for column in ("after", "times", "alone", "p50 s", "max s"):
        table.add_column(column, justify="left" if column == "after" else "right")
    settled = sorted(_ways(told).values())
    times = Counter(_name(one) for one in told.happened)
    found: dict[str, list[float]] = {}
    for one in told.happened:
        first = min(
            (at_ms for accepted_ms, at_ms in settled if accepted_ms >= one.to_ms), default=0
        )
        if first and _is_alone(one, first, told.happened):
            found.setdefault(_name(one), []).append((first - one.to_ms) / 1_000)
    for name in sorted(times):
        seconds = found.get(name, [])
        figures = (f"{median(seconds):.1f}", f"{max(seconds):.1f}") if seconds else ("-", "-")
        table.add_row(name, str(times[name]), str(len(seconds)), *figures)
    return table


def _name(one: Happened) -> str:
    return f"{one.fault.kind} {one.fault.target}"


def _is_alone(one: Happened, until_ms: int, happened: Sequence[Happened]) -> bool:
    return not any(
        other is not one and other.from_ms <= until_ms and other.to_ms >= one.from_ms
        for other in happened
    )
