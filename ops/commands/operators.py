"""`topup operators`: people who may operate, each with a key of their own, shown once."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter

from ops.confirm import confirmed
from ops.errors import CommandFailed
from ops.flags import AsJson, DryRun, OperatorName, Yes

if TYPE_CHECKING:
    from services.ledger.operators import Operator

operators = App(name="operators", help_format="plaintext")

_ALL_HELP: Final = "Those too whose key was revoked."


@operators.command
def add(name: OperatorName, /, *, as_json: AsJson = False) -> None:
    """Let a person in and show the key, this once: topup operators add ana."""
    asyncio.run(_add(name, as_json=as_json))


@operators.command(name="list")
def list_(
    *,
    with_revoked: Annotated[bool, Parameter(name="--all", negative=(), help=_ALL_HELP)] = False,
    as_json: AsJson = False,
) -> None:
    """Show who may operate."""
    asyncio.run(_list(with_revoked=with_revoked, as_json=as_json))


@operators.command
def revoke(name: OperatorName, /, *, yes: Yes = False, dry_run: DryRun = False) -> None:
    """End a person's key on every gateway: topup operators revoke ana."""
    asyncio.run(_revoke(name, yes=yes, dry_run=dry_run))


async def _add(name: str, *, as_json: bool) -> None:
    from ops.register import open_register
    from ops.screens.listing import print_facts, print_json
    from services.ledger.changes import NotAnnounced
    from services.ledger.keys import NewKey
    from shared.contracts.keys import OPERATOR_PREFIX, draw_key, hash_of, shown_of

    secret, untold = draw_key(OPERATOR_PREFIX), None
    async with open_register() as register:
        try:
            new = NewKey(sha256=hash_of(secret), prefix=shown_of(secret))
            await register.operators.add(name, new)
        except NotAnnounced as problem:
            untold = problem
    if as_json:
        print_json({"key": secret, "name": name})
    else:
        print_facts({"key": secret, "name": name})
        print("\nThe key is shown this once and kept nowhere: hand it over now.")
        print("Its owner sets it as TOPUP_ADMIN_KEY.")
    if untold:
        raise CommandFailed(str(untold))


async def _list(*, with_revoked: bool, as_json: bool) -> None:
    from ops.register import open_register
    from ops.screens.listing import print_json, print_table

    async with open_register() as register:
        found = await register.operators.all(with_revoked=with_revoked)
    if as_json:
        print_json([_facts(operator) for operator in found])
    else:
        print_table(
            [_row(operator) for operator in found],
            empty="no operators yet; for example: topup operators add ana",
        )


async def _revoke(name: str, *, yes: bool, dry_run: bool) -> None:
    from ops.register import open_register

    if not confirmed(f"end the key of {name} on every gateway", yes=yes, dry_run=dry_run):
        return
    async with open_register() as register:
        ended = await register.operators.revoke(name)
    done = "is revoked on every gateway" if ended else "was revoked already; all were told again"
    print(f"the key of {name} {done}")


def _facts(operator: "Operator") -> dict[str, object]:
    return {
        "name": operator.name,
        "prefix": operator.prefix,
        "created_at": operator.created_at,
        "revoked_at": operator.revoked_at,
    }


def _row(operator: "Operator") -> dict[str, str]:
    from ops.screens.listing import moment

    revoked = operator.revoked_at
    return {
        "name": operator.name,
        "begins with": operator.prefix,
        "state": "works" if revoked is None else f"revoked {moment(revoked)}",
        "created": moment(operator.created_at),
    }
