"""`make crash-points`: kill a process at every named point, and check everything after each.

Each point of docs/protocol.md, at the first, the second and the last time that it is passed, before
a provider that can do neither, one that can be asked, and one that dedupes. One replica of each
service, so that the point that is named is the one that is passed. `CASES=6` draws one kind of
provider and six of its crashes from `SEED`: a sample for each commit.
"""

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import msgspec
import uvloop

from shared.runtime.crashpoints import POINTS
from tests.chaos.house import House, until
from tests.chaos.merchant import Merchant, Sale
from tests.chaos.rest import hear_all
from tests.chaos.run import say
from tests.chaos.schedule import SERVICES
from tests.chaos.settings import PROVIDERS, WrongSetting, number, read_seed
from tests.chaos.verifier import Violation

SALES: Final = 6
TIMES: Final = {"first": 1, "second": 2, "last": SALES}
SALES_MAX: Final = 12
"""So many are sold where six do not do: what comes together passes a point together."""
DIES_S_MAX: Final = 10.0
LIVES_S_MAX: Final = 60.0
REST_S_MAX: Final = 180.0
PHONES: Final = ("5566374683", "5566374902")
"""One that is simply credited, and one that is refused twice: it is parked on its way."""


class Case(msgspec.Struct, frozen=True):
    """One crash."""

    provider: str
    point: str
    time: str


class Outcome(msgspec.Struct, frozen=True):
    """What became of the topups of a case."""

    case: Case
    died: bool
    ended: dict[str, int]
    violations: list[Violation]


def cases(
    providers: Sequence[str], times: Sequence[str], points: Sequence[str] = POINTS
) -> Iterator[Case]:
    """Yield every crash there is."""
    for provider in providers:
        for point in points:
            for time in times:
                yield Case(provider, point, time)


class Street:
    """One house of one kind of provider, in which crash follows crash."""

    def __init__(self, house: House, merchant: Merchant) -> None:
        self._house = house
        self._merchant = merchant
        self._sold: list[Sale] = []

    async def suffer(self, case: Case) -> Outcome:
        """Crash once, with sales under way, and hear everybody."""
        service = case.point.partition(".")[0]
        before = await self._arm(service, f"{case.point}:{TIMES[case.time]}")
        first, died = len(self._sold), False
        for nth in range(SALES_MAX):  # one after the other: once through a point for each
            name = f"{case.provider}-{case.point}-{case.time}-{nth}"
            self._sold.append(Sale(name, PHONES[nth % len(PHONES)], 10))
            await self._merchant.sell_one(self._sold[-1])
            if nth + 1 >= SALES:
                died = await self._died(service, before)
            if died:
                break
        violations, sources = await hear_all(
            self._house, self._merchant, self._sold, rest_s=REST_S_MAX
        )
        ended = Counter(str(sources.merchant[sale.key].at_last) for sale in self._sold[first:])
        return Outcome(case, died, dict(ended), violations)

    async def _arm(self, service: str, spec: str) -> int:
        """Let the replica's next life end at the point; return the id of that life."""
        row = (await self._house.replicas(service))[0]
        (self._house.orders / f"{row.id}.crash").write_text(spec)
        assert row.pid is not None
        os.kill(row.pid, 9)

        async def lives() -> bool:
            now = (await self._house.replicas(service))[0]
            return now.pid not in (None, row.pid) and now.state == "ready"

        await until(lives, within_s=LIVES_S_MAX)
        return (await self._house.replicas(service))[0].pid or 0

    async def _died(self, service: str, before: int) -> bool:
        async def is_another() -> bool:
            now = (await self._house.replicas(service))[0]
            return now.pid not in (None, before)

        try:
            await until(is_another, within_s=DIES_S_MAX)
        except TimeoutError:
            return False
        return True


async def suffer_all(crashes: Sequence[Case]) -> list[Outcome]:
    """Return what became of each case."""
    outcomes: list[Outcome] = []
    for provider in dict.fromkeys(case.provider for case in crashes):
        folder = Path(mkdtemp(prefix="topup-crashes-")) / "run"
        async with House(folder, kinds=PROVIDERS[provider], latency="20") as house:
            for service in SERVICES:
                await house.scale(service, 1)
            merchant = Merchant(
                f"http://127.0.0.1:{house.public_port}",
                house.api_keys,
                folder / "merchant.log",
            )
            street = Street(house, merchant)
            for case in (case for case in crashes if case.provider == provider):
                outcome = await street.suffer(case)
                outcomes.append(outcome)
                say(_line(outcome))
            await merchant.close()
    return outcomes


def _line(outcome: Outcome) -> str:
    case, ended = outcome.case, outcome.ended
    ends = ", ".join(f"{count} {end}" for end, count in sorted(ended.items()))
    verdict = "held" if outcome.died and not outcome.violations else "BROKEN"
    return f"| {case.point} | {case.time} | {case.provider} | {ends} | {verdict} |"


def wanted(environ: Mapping[str, str]) -> list[Case]:
    """Return the crashes that PROVIDERS, TIMES, POINTS, CASES and SEED choose; all by default.

    Raises:
        WrongSetting: names the variable, its problem and an example.
    """
    providers = _chosen("PROVIDERS", environ, PROVIDERS)
    times = _chosen("TIMES", environ, TIMES)
    points = _chosen("POINTS", environ, dict.fromkeys(POINTS))
    if not environ.get("CASES"):
        return list(cases(providers, times, points))
    seed = read_seed(environ)
    chance = random.Random(seed)
    found = list(cases([chance.choice(providers)], times, points))
    count = min(int(number("CASES", environ, "6", above=0.0)) or 1, len(found))
    say(f"SEED={seed}: {count} of the crashes")
    return [found[place] for place in sorted(chance.sample(range(len(found)), count))]


def _chosen(name: str, environ: Mapping[str, str], known: Mapping[str, object]) -> list[str]:
    chosen = (environ.get(name) or ",".join(known)).split(",")
    for one in chosen:
        if one not in known:
            raise WrongSetting(
                f"{name} holds {one!r}, known are {', '.join(known)}; "
                f"for example {name}={next(iter(known))}"
            )
    return chosen


def main() -> int:
    """Crash everywhere, or where it is told; 0: all held, 1: not, 2: told nonsense."""
    try:
        chosen = wanted(os.environ)
    except WrongSetting as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    say("| point | time | provider can do | topups ended | verdict |")
    say("| --- | --- | --- | --- | --- |")
    outcomes = uvloop.run(suffer_all(chosen))
    for outcome in outcomes:
        if not outcome.died:
            say(f"{outcome.case} was not reached")
        for violation in outcome.violations:
            say(f"{outcome.case}: {violation}")
    broken = sum(not outcome.died or bool(outcome.violations) for outcome in outcomes)
    say(f"{len(outcomes)} crashes, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
