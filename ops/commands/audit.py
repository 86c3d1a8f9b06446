"""`topup audit`: who did what; and whether the chain of it is whole."""

import asyncio
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Final

from cyclopts import App, Parameter

from ops.errors import CommandFailed
from ops.flags import AsJson
from shared.contracts.peers import PAGE_MAX, WORD_PATTERN

audit = App(name="audit", help_format="plaintext")

_LIMIT_HELP: Final = "How many acts, the newest; 1 to 1000."
_NOTED_HELP: Final = "SEQ:HASH that verify printed earlier: it must still be in the chain."
_WORD: Final = re.compile(WORD_PATTERN)
_LIMIT: Final = re.compile(r"[0-9]{1,4}")
_EXAMPLE: Final = "for example: topup audit list --who ana --target LATCOM --limit 50"
_NOTED: Final = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


@audit.command(name="list")
def list_(
    *,
    who: Annotated[str | None, Parameter(help="Of this person.")] = None,
    act: Annotated[str | None, Parameter(help="Of this kind, as lane.hold.")] = None,
    target: Annotated[str | None, Parameter(help="Of this lane, topup or customer.")] = None,
    limit: Annotated[str, Parameter(help=_LIMIT_HELP)] = "50",
    as_json: AsJson = False,
) -> None:
    """Show the newest acts: topup audit list --who ana --target LATCOM."""
    query = {"who": who, "act": act, "target": target}
    for name, word in query.items():
        if word is not None and not _WORD.fullmatch(word):
            raise CommandFailed(
                f"--{name} {word[:64]!r} is none that stands in the audit: letters, digits and "
                f"'._:#-'; {_EXAMPLE}",
                status=2,
            )
    if not _LIMIT.fullmatch(limit) or not 1 <= int(limit) <= PAGE_MAX:
        raise CommandFailed(f"--limit {limit[:32]!r} is not 1 to {PAGE_MAX}; {_EXAMPLE}", status=2)
    query["limit"] = limit
    _list(query, as_json=as_json)


@audit.command
def verify(*, noted: Annotated[str | None, Parameter(help=_NOTED_HELP)] = None) -> None:
    """Go along the chain, in the database itself; status 1 where it is broken."""
    sys.exit(asyncio.run(_verify(noted)))


def _list(query: Mapping[str, object], *, as_json: bool) -> None:
    from urllib.parse import urlencode

    import msgspec

    from ops.admin import ask
    from ops.screens.acts import as_row
    from ops.screens.listing import print_json, print_table
    from shared.contracts.peers import AuditRow

    given = {name: value for name, value in query.items() if value is not None}
    found = ask("GET", f"/api/admin/audit?{urlencode(given)}")
    if as_json:
        print_json(found["acts"])
        return
    acts = msgspec.convert(found["acts"], list[AuditRow])
    print_table([as_row(act) for act in acts], empty="no such acts")


async def _verify(noted: str | None) -> int:
    from ops.books import open_database
    from services.ledger.chain import Chain, Head

    head = None
    if noted is not None:
        told = _NOTED.fullmatch(noted)
        if told is None:
            raise CommandFailed(
                f"--noted {noted[:80]!r} is not SEQ:HASH, as topup audit verify prints it; "
                f"for example --noted 12:{'0' * 64}",
                status=2,
            )
        head = Head(int(told[1]), bytes.fromhex(told[2]))
    async with open_database() as database:
        verdict = await Chain(database).verify(noted=head)
    if verdict.broken is not None:
        sys.stdout.write(f"✗ {verdict.broken}; whole up to {verdict.head}\n")
        return 1
    sys.stdout.write(f"✓ {verdict.head.seq} acts follow one another; the last is {verdict.head}\n")
    return 0
