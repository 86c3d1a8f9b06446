"""The ledger's commands: migrate its schema, make the demo's customer."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

import msgspec
import psycopg
from redis.exceptions import RedisError

from services.ledger.changes import Changes
from services.ledger.customers import Customers, Seed
from services.ledger.database import Database, said
from services.ledger.logins import LEDGER_ROLE, allow_login
from services.ledger.migrations import migrate, shipped
from services.ledger.settings import MigrationSettings, SeedSettings
from shared.contracts.errors import InvalidSettings, TopupError
from shared.runtime.redis import connect
from shared.runtime.settings import load

SEED_EXAMPLE: Final = (
    '{"customer_id":"ACME_001","merchant":"acme","key_sha256":"<64 hex>","prefix":"topup_ab"}'
)


def run(command: str, environ: Mapping[str, str]) -> None:
    """Run one command; exits with 2 where what it was given is wrong, with 1 where it failed."""
    if command not in _COMMANDS:
        known = ", ".join(_COMMANDS)
        _stop(f"there is no command {command!r}, only {known}; or none, to serve", status=2)
    try:
        _COMMANDS[command](environ)
    except (InvalidSettings, msgspec.MsgspecError) as problem:
        _stop(str(problem), status=2)
    except (TopupError, psycopg.Error, RedisError, OSError) as problem:
        _stop(f"{command} failed: {said(problem)}", status=1)


def _migrate(environ: Mapping[str, str]) -> None:
    settings = load(MigrationSettings, environ)
    if not migrate(settings.database_url, shipped(), say=_say):
        _say("nothing to apply")
    if settings.ledger_password is not None:
        allow_login(settings.database_url, settings.ledger_password)
        _say(f"{LEDGER_ROLE} may log in")


def _seed_demo(environ: Mapping[str, str]) -> None:
    settings = load(SeedSettings, environ)
    try:
        seed = msgspec.json.decode(sys.stdin.buffer.read(), type=Seed)
    except msgspec.MsgspecError as problem:
        raise InvalidSettings(f"stdin: {problem}; for example {SEED_EXAMPLE}") from None
    asyncio.run(_seed(settings, seed))


async def _seed(settings: SeedSettings, seed: Seed) -> None:
    database = Database(settings.database_url, connections_max=1)
    client = connect(settings.redis_url)
    await database.open()
    try:
        await Customers(Changes(database, client)).seed(seed)
    finally:
        await database.close()
        await client.aclose()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _stop(text: str, *, status: int) -> NoReturn:
    sys.stderr.write(f"{text}\n")
    sys.exit(status)


_COMMANDS: Final[Mapping[str, Callable[[Mapping[str, str]], None]]] = {
    "migrate": _migrate,
    "seed-demo": _seed_demo,
}
