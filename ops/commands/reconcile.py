"""`topup reconcile`: the books against a provider's statement, or against lost streams."""

import asyncio
import os
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter

from ops.commands.proposing import Propose, check_all_proposed, check_options, propose_resolves
from ops.commands.statement import (
    DayOption,
    File,
    LayoutOption,
    Provider,
    Reports,
    Wanted,
    print_reconciliation,
    print_reconciliation_json,
    reconcile_statement,
)
from ops.confirm import confirmed
from ops.errors import CommandFailed
from ops.flags import AsJson, DryRun, Yes

if TYPE_CHECKING:
    from ops.streams import Streams
    from services.ledger.database import Database
    from services.ledger.reconciling import Reconciler
    from services.ledger.watch import Watch
    from shared.bus.topups import Topups

reconcile = App(name="reconcile", help_format="plaintext")
_BEHIND_S_MAX: Final = 15.0
_PARTITIONS_MAX: Final = 4_096
_PARTITIONS_HELP: Final = "Into so many, on streams that were drained and emptied for it."
_AGAIN: Final = "it can be run again: topup reconcile streams"
_INTERRUPTED: Final = 130
Partitions = Annotated[str | None, Parameter(help=_PARTITIONS_HELP)]


@reconcile.default
def statement(  # noqa: PLR0913 - one an option of the command
    *,
    provider: Provider,
    file: File,
    day: DayOption,
    layout: LayoutOption = None,
    report: Reports = (),
    as_json: AsJson = False,
    propose: Propose = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Compare a provider's statement of a day with the books; only --propose tells anybody."""
    check_options(propose=propose, yes=yes, dry_run=dry_run)
    result = reconcile_statement(Wanted(provider, file, day, layout), report)
    if not as_json:
        print_reconciliation(result, report)
    found = None
    if propose:
        found = propose_resolves(result, yes=yes, dry_run=dry_run, quiet=as_json)
    if as_json:
        print_reconciliation_json(result, found)
    check_all_proposed(found or [])


@reconcile.command
def streams(*, partitions: Partitions = None, yes: Yes = False, dry_run: DryRun = False) -> None:
    """After Valkey lost something: bring its records back to the books, then open the lanes."""
    count = None if partitions is None else _count_of(partitions)
    try:
        asyncio.run(_streams(count, yes=yes, dry_run=dry_run))
    except KeyboardInterrupt:
        raise CommandFailed(f"interrupted; {_AGAIN}", status=_INTERRUPTED) from None


def _count_of(text: str) -> int:
    digits = text.isascii() and text.isdecimal() and len(text) <= len(str(_PARTITIONS_MAX))
    if not digits or not 1 <= int(text) <= _PARTITIONS_MAX:
        raise CommandFailed(
            f"--partitions {text[:32]!r} is not a number from 1 to {_PARTITIONS_MAX}; "
            "for example: topup reconcile streams --partitions 12",
            status=2,
        )
    return int(text)


async def _streams(partitions: int | None, *, yes: bool, dry_run: bool) -> None:
    from ops.books import open_database
    from ops.streams import open_streams
    from shared.contracts.errors import PartitionsDiffer, TopupError

    async with open_streams() as found, open_database(connections_max=2) as database:
        try:
            await _reconcile(found, database, partitions, yes=yes, dry_run=dry_run)
        except PartitionsDiffer as problem:
            raise CommandFailed(
                f"{problem}; to have another count from now on, see docs/operations.md, "
                "Another partition count"
            ) from None
        except TopupError as problem:
            raise CommandFailed(f"the streams did not answer: {problem}; {_AGAIN}") from None


async def _reconcile(
    found: "Streams", database: "Database", partitions: int | None, *, yes: bool, dry_run: bool
) -> None:
    from services.ledger.reconciling import Reconciler
    from services.ledger.settings import ReconcileSettings
    from services.ledger.watch import Standing
    from shared.runtime.settings import load

    window_ms = load(ReconcileSettings, os.environ).idempotency_window_ms
    watch, topups = await _watch(found, database, partitions)
    standings = await watch.look(compare=True)
    lost = [number for number, each in enumerate(standings) if each is Standing.LOST]
    if not lost:
        await watch.release()
        print("nothing is lost: the streams have all that is in the books")
        return
    await _until_booked(found, topups, lost)
    what = (
        f"bring {len(lost)} of {len(standings)} partitions back to the books, where what may "
        "have been sent and has no outcome becomes unresolved, and then open the lanes"
    )
    reconciler = Reconciler(found.client, topups, database, window_ms=window_ms)
    if dry_run:
        await _run(reconciler, topups, lost, dry_run=True)
    if not confirmed(what, yes=yes, dry_run=dry_run):
        return
    await _run(reconciler, topups, lost, dry_run=False)
    for partition in lost:
        await reconciler.renew(partition, await watch.reached(partition))
    await reconciler.forget_others()
    if Standing.LOST in await watch.look(compare=True):
        raise CommandFailed(f"the streams have lost something again; {_AGAIN}")
    await watch.release()
    print("the lanes are open")


async def _watch(
    found: "Streams", database: "Database", wanted: int | None
) -> tuple["Watch", "Topups"]:
    """Return what compares; in as many partitions as the books know: the streams may forget it."""
    from services.ledger.watch import Watch
    from shared.bus.topups import Topups
    from shared.bus.trust import Trust
    from shared.contracts.catalogue import OFFERS

    def watch_of(partitions: int) -> tuple[Watch, Topups]:
        topups = Topups(found.client, partitions=partitions, window_ms=0)
        trust = Trust(found.client, topups)
        return Watch(topups, trust, database, providers=list(OFFERS)), topups

    known = await watch_of(1)[0].generations()
    if not known:
        raise CommandFailed(
            "the books have never seen streams, so nothing can be missing there; start a ledger"
        )
    watch, topups = watch_of(wanted or len(known))
    for provider in OFFERS:
        await topups.prepare(provider)
    return watch, topups


async def _until_booked(found: "Streams", topups: "Topups", lost: list[int]) -> None:
    """Wait until what is on the streams is in the books: else the books would look older."""
    from services.ledger.reconciling import unbooked

    try:
        async with asyncio.timeout(_BEHIND_S_MAX):
            while await unbooked(found.client, topups, lost):  # noqa: ASYNC110 - another process books
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise CommandFailed(
            "the ledger has not booked all that is on the streams: see that it runs and its "
            f"database answers (topup ps, topup doctor); {_AGAIN}"
        ) from None


async def _run(
    reconciler: "Reconciler", topups: "Topups", lost: list[int], *, dry_run: bool
) -> None:
    from ops.progress import Pace, shown
    from ops.screens.listing import print_table

    async with shown(Pace(), lambda: reconciler.done.compared, total=None):
        await reconciler.run(lost, now_ms=await topups.now_ms(), dry_run=dry_run)
    rows = [
        {"topups": what, "count": f"{n:,}"} for what, n in sorted(reconciler.done.found.items())
    ]
    print_table(rows, empty="no topup is open, in limbo, or within its idempotency window")
