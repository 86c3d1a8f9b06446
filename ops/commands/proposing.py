"""Proposes what a statement shows of unresolved topups; another person confirms each."""

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from cyclopts import Parameter

from ops.admin import ask
from ops.commands.unresolved import told_of
from ops.confirm import confirmed
from ops.errors import CommandFailed
from ops.screens.listing import print_table

if TYPE_CHECKING:
    from services.ledger.statements.comparison import Reconciliation, Resolve

Propose = Annotated[
    bool, Parameter(negative=(), help="Propose what it shows; another person confirms.")
]
Stands = Literal["would be proposed", "proposed", "left alone", "refused"]

_SHOWN_MAX: Final = 50
_REFUSED: Final = 1
_INTERRUPTED: Final = 130


class Proposing(msgspec.Struct, kw_only=True):
    """What becomes of one of them; `why` it was not proposed now, where it was not."""

    topup_id: str
    to: str
    stands: Stands
    why: str | None = None


def check_options(*, propose: bool, yes: bool, dry_run: bool) -> None:
    """Refuse what only makes sense with --propose."""
    if (yes or dry_run) and not propose:
        raise CommandFailed(
            "--yes and --dry-run go with --propose: all else changes nothing; for example: topup "
            "reconcile --provider LATCOM --file statement.csv --day 2026-11-23 --propose --dry-run",
            status=2,
        )


def propose_resolves(
    result: "Reconciliation", *, yes: bool, dry_run: bool, quiet: bool
) -> list[Proposing]:
    """Propose each in the name of who types; one that was proposed before is left alone.

    Raises:
        CommandFailed: the key does not let us in, nobody answers, the answer was no.
    """
    from services.ledger.statements.classes import Class

    found = [Proposing(topup_id=one.topup_id, to=one.to.value, stands="would be proposed")
             for one in result.resolves]  # fmt: skip
    _each(found, lambda one: _look(one, result.file_sha256))
    fresh = [one for one in found if one.stands == "would be proposed"]
    if not quiet:
        _tell(found, sum(one.count for one in result.totals.classes[Class.PAID_THOUGH_FAILED]
                         .theirs.values()))  # fmt: skip
    if not fresh or (quiet and dry_run):
        return found
    what = f"propose the end of {len(fresh):,} unresolved topups, for another person to confirm"
    if confirmed(what, yes=yes, dry_run=dry_run):
        bodies = {one.topup_id: _body(one) for one in result.resolves}
        _each(fresh, lambda one: _propose(one, bodies[one.topup_id]))
        if not quiet:
            done = sum(one.stands == "proposed" for one in fresh)
            sys.stdout.write(f"{done:,} proposed; topup unresolved list shows them\n")
    return found


def check_all_proposed(found: list[Proposing]) -> None:
    """Raise CommandFailed where some were refused, with one of them."""
    refused = [one for one in found if one.stands == "refused"]
    if refused:
        raise CommandFailed(
            f"{len(refused):,} were not proposed; {refused[0].topup_id}: {refused[0].why}"
        )


def _each(found: list[Proposing], act: Callable[[Proposing], None]) -> None:
    """Ask for one after the other: nobody waits for it but who typed, and sees how far it is."""
    from ops.progress import Pace, shown

    done = 0

    async def run() -> None:
        nonlocal done
        async with shown(Pace(), lambda: done, total=len(found)):
            for one in found:
                await asyncio.to_thread(act, one)
                done += 1

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        raise CommandFailed(
            "interrupted: what was proposed stays, and is not proposed again; it can be run again",
            status=_INTERRUPTED,
        ) from None


def _look(one: Proposing, file_sha256: str) -> None:
    """Leave alone what has ended, what is proposed, and what this very file was proposed for."""
    row = ask("GET", f"/api/admin/unresolved/{one.topup_id}")
    proposal, status = row["topup"]["proposal"], row["topup"]["status"]
    earlier = [each for each in row["proposals"] if file_sha256 in each["evidence"]]
    if status != "unresolved":
        one.stands, one.why = "left alone", f"it is {status}"
    elif proposal is not None or earlier:
        one.stands, one.why = "left alone", told_of(proposal or earlier[0])


def _propose(one: Proposing, body: dict[str, Any]) -> None:
    try:
        ask("POST", f"/api/admin/unresolved/{one.topup_id}/propose", body)
    except CommandFailed as problem:
        if problem.status != _REFUSED:
            raise
        one.stands, one.why = "refused", str(problem)
    else:
        one.stands = "proposed"


def _body(one: "Resolve") -> dict[str, Any]:
    from shared.contracts.instants import timestamp

    asked = {} if one.asked_at_ms is None else {"asked_at": timestamp(one.asked_at_ms)}
    return {"to": one.to.value, "evidence": one.evidence} | asked


def _tell(found: list[Proposing], paid_though_failed: int) -> None:
    rows = [
        {"topup": one.topup_id, "to": one.to, "stands": one.stands, "why": one.why or "-"}
        for one in found[:_SHOWN_MAX]
    ]
    sys.stdout.write("\n")
    print_table(rows, empty="nothing to propose: of no unresolved topup the end is in it")
    if paid_though_failed:
        sys.stdout.write(
            f"{paid_though_failed:,} were paid though we said failed: failed is final, so none of "
            "them can be proposed; claim them back, or settle with the merchant\n"
        )
