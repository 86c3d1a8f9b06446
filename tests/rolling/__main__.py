"""`make rolling`: sell while every replica is replaced by the present version, and back, and again.

No merchant may see an error, each sale must succeed, and the verifier must find nothing.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import uvloop

from tests.chaos.merchant import Line, Merchant, Sale
from tests.chaos.rest import hear_all
from tests.chaos.run import say
from tests.chaos.verifier import Violation
from tests.load.runs import run
from tests.rolling.earlier import NoEarlierVersion, commit_named, unpack
from tests.rolling.update import PRESENT, TwoVersions, Update

REST_S_MAX: Final = 60.0
SALES_MAX: Final = 100_000
LOOKERS: Final = 4
LOOK_EACH_S: Final = 0.05


class Heard(Merchant):
    """A merchant that notes each look at a topup that was not answered, too."""

    looks = 0
    closing = False

    def __init__(self, url: str, api_keys: Sequence[str], log: Path) -> None:
        super().__init__(url, api_keys, log)
        self.unanswered_looks: list[float] = []

    async def keep_looking(self) -> None:
        """Ask for the newest topup again and again."""
        while not self.closing:
            ids = [line.topup_id for line in self.lines[-20:] if line.topup_id is not None]
            for topup_id in ids[-1:]:
                self.looks += 1
                if await self.look(topup_id) is None:
                    self.unanswered_looks.append(time.monotonic())
            await asyncio.sleep(LOOK_EACH_S)


def sales() -> Iterator[Sale]:
    """Yield sales that every provider pays; every third may have either of two."""
    for number in range(SALES_MAX):
        provider = "LATCOM" if number % 3 else "AUTO"
        yield Sale(f"rolling-{number}", f"55663{number % 90_000:05}"[:10], 10, provider=provider)


async def measure(folder: Path, earlier: Path, *, per_s: float, turns: int = 3) -> bool:
    """Replace all replicas so many times, there and back; return whether everything held."""
    sold = [sale for sale in sales() if sale.phone[-3] != "9"]  # 9..: the provider's tricks
    async with TwoVersions(folder, earlier) as house:
        merchant = Heard(
            f"http://127.0.0.1:{house.public_port}",
            house.api_keys,
            folder / "heard.log",
        )
        update = Update(house, say)
        async with asyncio.TaskGroup() as tasks:
            selling = tasks.create_task(merchant.sell(sold, per_s=per_s))
            for _ in range(LOOKERS):
                tasks.create_task(merchant.keep_looking())
            await _there_and_back(house, update, turns)
            merchant.begin_no_more()
            await selling
            merchant.closing = True
        begun = {line.key for line in merchant.lines}
        sold = [sale for sale in sold if sale.key in begun]
        violations, sources = await hear_all(house, merchant, sold, rest_s=REST_S_MAX)
        await merchant.close()
    begins, ends = house.functions_replaced
    excused = [at for at in merchant.unanswered_looks if begins <= at <= ends]
    states = Counter(booked.status for booked in sources.ledger.values())
    say(f"{len(excused)} looks told 503 by the earlier gateways while the functions were replaced")
    unanswered = len(merchant.unanswered_looks) - len(excused)
    return print_verdict(merchant, update.replaced, unanswered, states, violations)


async def _there_and_back(house: TwoVersions, update: Update, turns: int) -> None:
    """Deploy the present version, take it back, and deploy it once more."""
    assert set((await update.versions()).values()) == {house.earlier}, "it begins as it was"
    for number, tree in enumerate((PRESENT, house.earlier, PRESENT)[:turns]):
        if tree == PRESENT:
            said = await asyncio.to_thread(house.migrate, tree)
            say(f"  {said}")
        await update.replace_all(tree, backwards=number == 1)
        assert set((await update.versions()).values()) == {tree}, "every replica is replaced"


def print_verdict(
    merchant: Heard,
    replaced: int,
    unanswered: int,
    states: Counter[str],
    violations: list[Violation],
) -> bool:
    """Print it; return whether it held."""
    lines: list[Line] = merchant.lines
    failed = [
        line
        for line in lines
        if line.what == "unanswered" or (line.what == "answered" and line.topup_id is None)
    ]
    told = Counter(line.status for line in failed)
    for violation in violations[:20]:
        say(f"✗ {violation.column}: {violation.whose}: {violation.seen}")
    say(
        f"{replaced} replicas replaced; {sum(line.what == 'asked' for line in lines):,} requests, "
        f"{len(failed)} without an answer that counts {dict(told)}; {merchant.looks:,} looks,"
        f" {unanswered} unanswered; {dict(states)}; {len(violations)} violations"
    )
    fine = not (failed or violations or unanswered)
    return fine and set(states) == {"succeeded"}


def main() -> int:
    """Run once; 0: nobody noticed, 1: somebody did, 2: told nonsense, or no earlier version."""

    def act(folder: Path, per_s: float) -> bool:
        earlier = folder.parent / "earlier"
        unpack(commit, earlier)
        return uvloop.run(measure(folder, earlier, per_s=per_s))

    try:
        commit = commit_named()
        return run("rolling", {"RATE": ("40", 0.0)}, act)
    except NoEarlierVersion as problem:
        sys.stderr.write(f"{problem}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
