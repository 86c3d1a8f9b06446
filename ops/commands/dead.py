"""`topup dead`: what was put aside for people; redrive what was never sent, discard the rest."""

import re
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from ops.admin import ask
from ops.confirm import confirmed
from ops.errors import CommandFailed
from ops.flags import AsJson, DryRun, Reason, Yes, check_reason
from ops.screens.listing import print_facts, print_json, print_table

dead = App(name="dead", help_format="plaintext")

_NAME: Final = re.compile(r"(0|[1-9][0-9]{0,4})\.[0-9]{1,19}-[0-9]{1,19}")
_EXAMPLE: Final = "for example: topup dead discard 0.1795471200123-0 --reason 'a test'"

Letter = Annotated[str, Parameter(name="LETTER", help="As `topup dead list` names it.")]


@dead.command(name="list")
def list_(
    *,
    with_done: Annotated[
        bool, Parameter(name="--all", negative=(), help="Those too that were dealt with.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the newest 1,000: when, which topup, why, and whether it may be driven again."""
    found = ask("GET", f"/api/admin/dead?limit=1000{'&all=true' if with_done else ''}")["letters"]
    if as_json:
        print_json(found)
    else:
        print_table([_row(letter) for letter in found], empty="nothing waits for people")


@dead.command
def show(letter: Letter, /, *, as_json: AsJson = False) -> None:
    """Show one: its cause, what it holds (masked), and what became of it."""
    found = _look(letter)
    if as_json:
        print_json(found)
        return
    print_facts(_row(found["letter"]) | {"copy of": found["source"] or "-"})
    print(f"holds  {found['payload']}")
    for event in found["history"]:
        print(f"{event['at'] or 'now':<24}  {event['what']}")


@dead.command
def redrive(
    letter: Letter,
    /,
    *,
    reason: Reason,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Accept its topup, if it was never sent: topup dead redrive 0.1795471200123-0 --reason R."""
    _act("redrive", letter, reason, yes=yes, dry_run=dry_run, as_json=as_json)


@dead.command
def discard(
    letter: Letter,
    /,
    *,
    reason: Reason,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Be done with it: topup dead discard 0.1795471200123-0 --reason R."""
    _act("discard", letter, reason, yes=yes, dry_run=dry_run, as_json=as_json)


def _act(what: str, letter: str, reason: str, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    check_reason(reason, _EXAMPLE)
    found = _look(letter)["letter"]
    if confirmed(f"{what} {letter} ({found['cause']})", yes=yes, dry_run=dry_run):
        done = ask("POST", f"/api/admin/dead/{letter}/{what}", {"reason": reason})
        if as_json:
            print_json(done)
        elif what == "redrive":
            print(f"topup {done['topup_id']} is accepted; see: topup explain {done['topup_id']}")
        else:
            print(f"{letter} is discarded; topup dead list --all still shows it for 90 days")


def _look(letter: str) -> dict[str, Any]:
    if not _NAME.fullmatch(letter):
        raise CommandFailed(f"{letter[:40]!r} is not the name of a letter; {_EXAMPLE}", status=2)
    return dict(ask("GET", f"/api/admin/dead/{letter}"))


def _row(letter: dict[str, Any]) -> dict[str, str]:
    done = letter["dealt_with"]
    state = "may be driven again" if letter["redrivable"] else "for people"
    if done is not None:
        state = f"{done['what']} by {done['by']} at {done['at']}: {done['reason']}"
    return {
        "letter": letter["id"],
        "since": letter["at"],
        "topup": letter["topup_id"],
        "lane": letter["lane"],
        "cause": letter["cause"],
        "state": state,
    }
