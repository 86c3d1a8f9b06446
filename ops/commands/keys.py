"""`topup keys`: API keys, shown once when they are drawn, known by their ids afterwards."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter

from ops.confirm import confirmed
from ops.errors import CommandFailed
from ops.flags import AsJson, CustomerId, DryRun, KeyId, Label, Yes
from services.ledger.names import check_key_id, check_scopes
from shared.contracts.errors import InvalidRequest
from shared.contracts.keys import PREFIX, SCOPES, draw_key, hash_of, id_of, shown_of
from shared.runtime.settings import parse_duration_ms

if TYPE_CHECKING:
    from services.ledger.keys import Key, NewKey

keys = App(name="keys", help_format="plaintext")

_GRACE_MS_MIN: Final = 1_000
_GRACE_MS_MAX: Final = 365 * 86_400_000
_SCOPE_HELP: Final = "topup:write or topup:read, once for each; else both."
_ALL_HELP: Final = "Those too that were revoked or have ended."
_GRACE_HELP: Final = "How long the old key goes on working: 30m, 24h, 7d."


@keys.command
def create(
    customer: CustomerId,
    /,
    *,
    scope: Annotated[tuple[str, ...], Parameter(negative=(), help=_SCOPE_HELP)] = (),
    label: Label = "",
    as_json: AsJson = False,
) -> None:
    """Draw a key and show it, this once: topup keys create ACME_001."""
    _check(lambda: check_scopes(scope or SCOPES))
    asyncio.run(_create(customer, scope, label, as_json=as_json))


@keys.command(name="list")
def list_(
    customer: CustomerId | None = None,
    /,
    *,
    with_ended: Annotated[bool, Parameter(name="--all", negative=(), help=_ALL_HELP)] = False,
    as_json: AsJson = False,
) -> None:
    """Show the keys that work, and when each was last used."""
    asyncio.run(_list(customer, with_ended=with_ended, as_json=as_json))


@keys.command
def revoke(key: KeyId, /, *, yes: Yes = False, dry_run: DryRun = False) -> None:
    """End a key on every gateway: topup keys revoke 3fa9c2d1e0b7."""
    _check_id(key)
    asyncio.run(_revoke(key, yes=yes, dry_run=dry_run))


@keys.command
def rotate(
    key: KeyId,
    /,
    *,
    grace: Annotated[str | None, Parameter(help=_GRACE_HELP)] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Draw a key in the place of one, which ends now or after a grace."""
    _check_id(key)
    asyncio.run(_rotate(key, grace, _grace_ms_of(grace), yes=yes, dry_run=dry_run, as_json=as_json))


async def _create(customer: str, scope: tuple[str, ...], label: str, *, as_json: bool) -> None:
    from ops.register import open_register
    from services.ledger.changes import NotAnnounced

    secret, scopes, untold = draw_key(), list(dict.fromkeys(scope or SCOPES)), None
    async with open_register() as register:
        try:
            await register.keys.create(customer, _kept_of(secret), scopes=scopes, label=label)
        except NotAnnounced as problem:
            untold = problem
    _show_once(secret, customer, scopes, label, as_json=as_json)
    if untold:
        raise CommandFailed(str(untold))


async def _list(customer: str | None, *, with_ended: bool, as_json: bool) -> None:
    from ops.register import open_register
    from ops.screens.keys import as_json_of, as_row
    from ops.screens.listing import print_json, print_table

    async with open_register() as register:
        if customer is not None:
            await register.customers.find(customer)
        found = await register.keys.all(customer, with_ended=with_ended)
    if as_json:
        print_json([as_json_of(key) for key in found])
        return
    example = f"topup keys create {customer or 'ACME_001'}"
    print_table(
        [as_row(key) for key in found], empty=f"no keys that work; make one with: {example}"
    )


async def _revoke(key_id: str, *, yes: bool, dry_run: bool) -> None:
    from ops.register import open_register

    async with open_register() as register:
        key = await register.keys.find(key_id)
        if confirmed(f"revoke {_described(key)}", yes=yes, dry_run=dry_run):
            await register.keys.revoke(key)
            print(f"{key.id} is revoked on every gateway")


async def _rotate(
    key_id: str, grace: str | None, grace_ms: int, *, yes: bool, dry_run: bool, as_json: bool
) -> None:
    from ops.register import open_register
    from services.ledger.changes import NotAnnounced

    secret, untold = draw_key(), None
    async with open_register() as register:
        key = await register.keys.find(key_id)
        key.check_lasts()
        when = f"after {grace}" if grace else "now"
        what = f"draw a new key and end {when} {_described(key)}"
        if not confirmed(what, yes=yes or grace is not None, dry_run=dry_run):
            return
        try:
            await register.keys.rotate(key, _kept_of(secret), grace_ms=grace_ms)
        except NotAnnounced as problem:
            untold = f"{problem}; to tell them at once: topup keys revoke {key.id}"
    _show_once(secret, key.customer_id, list(key.scopes), key.label, as_json=as_json)
    if untold:
        raise CommandFailed(untold)


def _show_once(secret: str, customer: str, scopes: list[str], label: str, *, as_json: bool) -> None:
    from ops.screens.listing import print_facts, print_json

    known = {"id": id_of(hash_of(secret)), "customer_id": customer}
    if as_json:
        print_json({"key": secret, **known, "scopes": scopes, "label": label})
        return
    print_facts({"key": secret, **known, "scopes": " ".join(scopes), "label": label or "-"})
    print("\nThe key is shown this once and kept nowhere: hand it over now.")


def _kept_of(secret: str) -> "NewKey":
    from services.ledger.keys import NewKey

    return NewKey(sha256=hash_of(secret), prefix=shown_of(secret))


def _described(key: "Key") -> str:
    from ops.screens.listing import moment

    label = f" '{key.label}'" if key.label else ""
    said = f"last used {moment(key.last_used_at)}" if key.last_used_at else "never used"
    if key.revoked_at is not None:
        said = f"revoked {moment(key.revoked_at)} already"
    return f"key {key.id} ({key.prefix}…{label}) of {key.customer_id}, {said}"


def _check(check: Callable[[], None]) -> None:
    try:
        check()
    except InvalidRequest as problem:
        raise CommandFailed(str(problem), status=2) from None


def _check_id(text: str) -> None:
    _check_no_secret(text)
    _check(lambda: check_key_id(text))


def _check_no_secret(text: str) -> None:
    """Refuse a key itself: it would stay in the shell's history."""
    if not text.startswith(PREFIX):
        return
    if text == shown_of(text):
        raise CommandFailed(
            f"{text!r} is how a key begins; its id stands beside that in: topup keys list", status=2
        )
    raise CommandFailed(
        "this is a key itself, which does not belong on a command line; say its id instead: "
        f"{id_of(hash_of(text))}",
        status=2,
    )


def _grace_ms_of(text: str | None) -> int:
    if text is None:
        return 0
    try:
        grace_ms = parse_duration_ms(text)
    except ValueError as problem:
        raise CommandFailed(f"--grace {problem}; for example --grace 24h", status=2) from None
    if not _GRACE_MS_MIN <= grace_ms <= _GRACE_MS_MAX:
        raise CommandFailed(
            f"--grace {text} is not between 1s and 365d; for example --grace 24h", status=2
        )
    return grace_ms
