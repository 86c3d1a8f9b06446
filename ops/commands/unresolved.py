"""`topup unresolved`: money in limbo; one person proposes how to settle it, another confirms."""

import base64
import datetime as dt
import re
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from ops.admin import ask
from ops.confirm import confirmed
from ops.errors import CommandFailed
from ops.files import readable
from ops.flags import AsJson, DryRun, Reason, Yes, check_reason
from ops.screens.listing import print_facts, print_json, print_table
from shared.contracts.catalogue import OFFERS
from shared.contracts.errors import InvalidRequest
from shared.contracts.instants import timestamp
from shared.contracts.proposals import (
    EVIDENCE_CHARACTERS_MAX,
    FILE_BYTES_MAX,
    FILE_NAME_CHARACTERS_MAX,
)
from shared.runtime.moments import instant_ms

unresolved = App(name="unresolved", help_format="plaintext")

_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EXAMPLE: Final = (
    "for example: topup unresolved resolve 0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11 --succeeded "
    "--evidence 'ticket 4711'"
)

TopupId = Annotated[str, Parameter(name="ID", help="The topup's id.")]


@unresolved.command(name="list")
def list_(*, as_json: AsJson = False) -> None:
    """Show the 1,000 that are there for longest, and the sums of all by currency and age."""
    found = ask("GET", "/api/admin/unresolved?limit=1000")
    if as_json:
        print_json({"topups": found["topups"], "limbo": found["limbo"]})
        return
    print_table([_row(topup) for topup in found["topups"]], empty="nothing is unresolved")
    sums = [
        {
            "in limbo for": one["age"],
            "topups": str(one["transactions"]),
            "money": f"{one['volume']} {one['currency']}",
        }
        for one in found["limbo"]
    ]
    if sums:
        print()
        print_table(sums, empty="")


@unresolved.command
def show(topup: TopupId, /, *, as_json: AsJson = False) -> None:
    """Show one, and what was proposed of it; `topup explain` tells its story."""
    found = _look(topup)
    if as_json:
        print_json(found)
        return
    print_facts(_row(found["topup"]))
    for one in found["proposals"]:
        print(f"{one['made_at']}  {told_of(one)}: {one['evidence']}")
        if one["file"] is not None:
            print(f"{'':24}  with {one['file']['name']}, SHA-256 {one['file']['sha256']}")


@unresolved.command
def resolve(  # noqa: PLR0913 - one an option of the command
    topup: TopupId,
    /,
    *,
    evidence: Annotated[str, Parameter(help="What it rests on, or @FILE of at most 64 KB.")],
    succeeded: Annotated[
        bool, Parameter(name="--succeeded", negative=(), help="It was paid.")
    ] = False,
    failed: Annotated[
        bool, Parameter(name="--failed", negative=(), help="It was not paid, and will not be.")
    ] = False,
    provider: Annotated[
        str | None,
        Parameter(help="Who was paid; --succeeded needs it where the topup's provider is AUTO."),
    ] = None,
    asked_at: Annotated[
        str | None,
        Parameter(help="When the provider was asked; --failed needs it, 2026-11-24T03:00:00Z."),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Propose how to settle one: resolve ID --succeeded --evidence 'ticket 4711'."""
    if succeeded == failed:
        raise CommandFailed(f"say either --succeeded or --failed; {_EXAMPLE}", status=2)
    if provider is not None and provider not in OFFERS:
        raise CommandFailed(
            f"--provider {provider[:32]!r} is none of {', '.join(OFFERS)}; for example "
            f"--provider {next(iter(OFFERS))}",
            status=2,
        )
    if failed:
        _check_failed(asked_at, provider)
    body: dict[str, Any] = {"to": "succeeded" if succeeded else "failed", **_evidence(evidence)}
    if provider is not None:
        body["provider"] = provider
    if asked_at is not None:
        body["asked_at"] = _instant(asked_at)
    _check(topup)
    if dry_run:
        _look(topup)
    what = f"propose {topup} as {body['to']}: {body['evidence']}"
    if confirmed(what, yes=yes, dry_run=dry_run):
        done = ask("POST", f"/api/admin/unresolved/{topup}/propose", body)
        _tell(
            done,
            f"proposed; another person settles it with: topup unresolved confirm {topup}",
            as_json=as_json,
        )


@unresolved.command
def confirm(
    topup: TopupId, /, *, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Settle one as another person proposed: topup unresolved confirm ID."""
    proposal = _proposal(topup)
    what = (
        f"settle {topup} as {proposal['to']}, as {proposal['maker']} proposed: "
        f"{proposal['evidence']}"
    )
    if confirmed(what, yes=yes, dry_run=dry_run):
        body = {"proposal": proposal["id"]}
        done = ask("POST", f"/api/admin/unresolved/{topup}/confirm", body)
        _tell(done, f"{topup} is {done['status']}; see: topup explain {topup}", as_json=as_json)


@unresolved.command
def withdraw(
    topup: TopupId,
    /,
    *,
    reason: Reason,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take back what was proposed: topup unresolved withdraw ID --reason R."""
    check_reason(reason, "for example --reason mistaken")
    proposal = _proposal(topup)
    if confirmed(f"withdraw what {proposal['maker']} proposed", yes=yes, dry_run=dry_run):
        body = {"proposal": proposal["id"], "reason": reason}
        done = ask("POST", f"/api/admin/unresolved/{topup}/withdraw", body)
        _tell(done, "withdrawn; the topup stays unresolved", as_json=as_json)


def _check_failed(asked_at: str | None, provider: str | None) -> None:
    if asked_at is None:
        raise CommandFailed(
            "--failed needs --asked-at: a no counts only where the provider was asked after the "
            "quarantine; for example --asked-at 2026-11-24T03:00:00Z",
            status=2,
        )
    if provider is not None:
        raise CommandFailed(
            "--provider says who was paid: leave it out with --failed; for example "
            "--failed --asked-at 2026-11-24T03:00:00Z --evidence 'ticket 4711'",
            status=2,
        )


def told_of(one: dict[str, Any]) -> str:
    """Say who proposed what, and who ended it."""
    paid = "" if one["provider"] is None else f", {one['provider']} was paid,"
    said = f"proposed as {one['to']}{paid} by {one['maker']}"
    if one["checker"] is None:
        return said
    why = "" if one["ended_why"] is None else f" ({one['ended_why']})"
    return f"{said}, {one['state']} by {one['checker']} at {one['ended_at']}{why}"


def _evidence(text: str) -> dict[str, Any]:
    if not text.startswith("@"):
        if not text.strip() or len(text) > EVIDENCE_CHARACTERS_MAX:
            raise CommandFailed(
                f"--evidence must be 1 to {EVIDENCE_CHARACTERS_MAX} characters, or @FILE; "
                f"{_EXAMPLE}",
                status=2,
            )
        return {"evidence": text}
    path = Path(text[1:])
    with readable(f"--evidence {text}", example=_EXAMPLE), path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if not 0 < len(content) <= FILE_BYTES_MAX:
        raise CommandFailed(
            f"--evidence: {path} is empty or larger than {FILE_BYTES_MAX} bytes; {_EXAMPLE}",
            status=2,
        )
    sent = {
        "name": path.name[-FILE_NAME_CHARACTERS_MAX:],
        "content": base64.b64encode(content).decode(),
    }
    return {"evidence": f"file {path.name}"[:EVIDENCE_CHARACTERS_MAX], "file": sent}


def _instant(text: str) -> str:
    try:
        return timestamp(instant_ms("--asked-at", text))
    except InvalidRequest as problem:
        raise CommandFailed(str(problem), status=2) from None


def _check(topup: str) -> None:
    if not _ID.fullmatch(topup):
        raise CommandFailed(f"{topup[:40]!r} is not the id of a topup; {_EXAMPLE}", status=2)


def _look(topup: str) -> dict[str, Any]:
    _check(topup)
    return dict(ask("GET", f"/api/admin/unresolved/{topup}"))


def _proposal(topup: str) -> dict[str, Any]:
    found = _look(topup)
    proposal = found["topup"]["proposal"]
    if proposal is None:
        ended = [told_of(one) for one in found["proposals"][:1]]
        raise CommandFailed(
            f"nothing is proposed of {topup}, which is {found['topup']['status']}"
            f"{''.join(f', {one}' for one in ended)}; nothing was changed"
        )
    return dict(proposal)


def _tell(done: dict[str, Any], line: str, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        print(line)


def _row(topup: dict[str, Any]) -> dict[str, str]:
    proposal, age = topup["proposal"], topup["age_seconds"]
    return {
        "topup": topup["topup_id"],
        "status": topup["status"],
        "age": "-" if age is None else str(dt.timedelta(seconds=age)),
        "amount": f"{topup['amount']} {topup['currency']}",
        "provider": topup["provider"],
        "customer": topup["customer_id"],
        "phone": topup["phone"],
        "reason": topup["reason"] or "-",
        "proposal": "-" if proposal is None else told_of(proposal),
    }
