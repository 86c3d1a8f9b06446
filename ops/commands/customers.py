"""`topup customers`: who may sell, under which path, how much a minute."""

import asyncio
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from ops.confirm import confirmed
from ops.errors import CommandFailed
from ops.flags import AsJson, CustomerId, DryRun, Merchant, Yes
from services.ledger.names import LIMIT_MAX

if TYPE_CHECKING:
    from services.ledger.customers import Customer

customers = App(name="customers", help_format="plaintext")
_DEFAULT = "the gateways' RATE_LIMIT_PER_MINUTE"
_LIMIT_HELP = f"Requests a minute; else {_DEFAULT}."
_EXAMPLE = "for example: topup customers limit ACME_001 500"


@customers.command
def create(
    customer: CustomerId,
    /,
    *,
    merchant: Merchant,
    limit: Annotated[str | None, Parameter(help=_LIMIT_HELP)] = None,
    as_json: AsJson = False,
) -> None:
    """Make one: topup customers create ACME_001 --merchant acme."""
    asyncio.run(_create(customer, merchant, _limit_of(limit), as_json=as_json))


@customers.command(name="list")
def list_(*, as_json: AsJson = False) -> None:
    """Show all customers."""
    asyncio.run(_list(as_json=as_json))


@customers.command
def show(customer: CustomerId, /, *, as_json: AsJson = False) -> None:
    """Show one customer and its keys."""
    asyncio.run(_show(customer, as_json=as_json))


@customers.command
def limit(
    customer: CustomerId,
    requests: Annotated[str | None, Parameter(help="Requests a minute.")] = None,
    /,
    *,
    default: Annotated[bool, Parameter(negative=(), help=f"Back to {_DEFAULT}.")] = False,
) -> None:
    """Change how much it may: topup customers limit ACME_001 500."""
    if default is (requests is not None):
        raise CommandFailed(
            f"say either how many requests a minute or --default; {_EXAMPLE}", status=2
        )
    asyncio.run(_limit(customer, _limit_of(requests)))


@customers.command
def disable(customer: CustomerId, /, *, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Refuse all its keys, on every gateway within a second."""
    asyncio.run(_disable(customer, yes=yes, dry_run=dry_run))


@customers.command
def enable(customer: CustomerId, /) -> None:
    """Let its keys in again, but for those that have ended."""
    asyncio.run(_enable(customer))


async def _create(customer: str, merchant: str, limit: int | None, *, as_json: bool) -> None:
    from ops.register import open_register
    from ops.screens.listing import print_json

    async with open_register() as register:
        await register.customers.create(customer, merchant, limit)
        if as_json:
            print_json(await register.customers.find(customer))
        else:
            print(f"{customer} may sell at /api/{merchant}/topup once it has a key")
            print(f"make one with: topup keys create {customer}")


async def _list(*, as_json: bool) -> None:
    from ops.register import open_register
    from ops.screens.listing import print_json, print_table

    async with open_register() as register:
        found = await register.customers.all()
    if as_json:
        print_json(found)
    else:
        print_table(
            [_row(customer) for customer in found],
            empty="no customers yet; for example: topup customers create ACME_001 --merchant acme",
        )


async def _show(customer: str, *, as_json: bool) -> None:
    import msgspec

    from ops.register import open_register
    from ops.screens.keys import as_json_of, as_row
    from ops.screens.listing import print_facts, print_json, print_table

    async with open_register() as register:
        found = await register.customers.find(customer)
        keys = await register.keys.all(customer)
    if as_json:
        counted = {**msgspec.structs.asdict(found), "keys": [as_json_of(key) for key in keys]}
        print_json(counted)
        return
    print_facts(_row(found))
    print()
    print_table(
        [as_row(key) for key in keys],
        empty=f"no keys that work; make one with: topup keys create {customer}",
    )


async def _limit(customer: str, limit: int | None) -> None:
    from ops.register import open_register

    async with open_register() as register:
        await register.customers.limit(customer, limit)
    how_many = "the gateways' default" if limit is None else str(limit)
    print(f"{customer} may make {how_many} requests a minute on all gateways together")


async def _disable(customer: str, *, yes: bool, dry_run: bool) -> None:
    from ops.register import open_register
    from ops.screens.listing import moment

    async with open_register() as register:
        found = await register.customers.find(customer)
        used = f"last used {moment(found.last_used_at)}" if found.last_used_at else "never used"
        what = f"refuse all {found.working_keys} keys of {customer}, {used}"
        if confirmed(what, yes=yes, dry_run=dry_run):
            await register.customers.disable(customer)
            print(f"{customer} is disabled; give it back with: topup customers enable {customer}")


async def _enable(customer: str) -> None:
    from ops.register import open_register

    async with open_register() as register:
        await register.customers.disable(customer, disabled=False)
        found = await register.customers.find(customer)
    print(f"{customer} is enabled; {found.working_keys} keys work")


def _limit_of(text: str | None) -> int | None:
    """Return the number; raises CommandFailed for what no limit can be."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= LIMIT_MAX:
        raise CommandFailed(
            f"{text!r} is not a limit, 1 to {LIMIT_MAX} requests a minute; {_EXAMPLE}", status=2
        )
    return int(text)


def _row(customer: "Customer") -> dict[str, str]:
    from ops.screens.listing import moment

    limit = customer.limit_per_minute
    return {
        "customer": customer.customer_id,
        "merchant": customer.merchant,
        "limit": "default" if limit is None else str(limit),
        "state": "disabled" if customer.disabled else "enabled",
        "keys": str(customer.working_keys),
        "last used": moment(customer.last_used_at),
        "created": moment(customer.created_at),
    }
