"""Brings the servers of streams and limits up to date: the functions, and a user for each service.

Services may do neither: who could load a function, or make a user, would have everybody's rights.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence

import msgspec
from redis.exceptions import RedisError, ResponseError

from shared.bus import functions
from shared.bus.rights import LATER, RIGHTS, rules, user_of
from shared.contracts.errors import InvalidSettings, TopupError
from shared.runtime.redis import Client, connect
from shared.runtime.replica import RedisUrl
from shared.runtime.settings import load


class DeploySettings(msgspec.Struct, frozen=True, rename="upper"):
    """Both servers, as somebody who may do everything; a service with a password gets its user."""

    redis_url: RedisUrl
    limiter_redis_url: RedisUrl | None = None
    gateway_password: str | None = None
    ratelimiter_password: str | None = None
    dispatcher_password: str | None = None
    ledger_password: str | None = None


def main(environ: Mapping[str, str]) -> None:
    """Do it; exits with 2 where a setting is wrong, with 1 where a server refuses."""
    try:
        asyncio.run(deploy(load(DeploySettings, environ)))
    except InvalidSettings as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(2)
    except (TopupError, RedisError, OSError) as problem:
        sys.exit(f"the streams could not be brought up to date: {problem}")


async def deploy(settings: DeploySettings) -> None:
    """Load the functions, and make the users whose passwords are given; safe to repeat.

    Raises:
        FunctionsUnsupported: the server has no functions.
        RedisError: what follows is not done.
    """
    client = connect(settings.redis_url)
    try:
        if await functions.load(client):
            _say(f"loaded {functions.LIBRARY}")
    finally:
        await client.aclose()
    limits = settings.limiter_redis_url or settings.redis_url
    await _make_users(settings.redis_url, settings, [s for s in RIGHTS if s != "ratelimiter"])
    await _make_users(limits, settings, ["ratelimiter"])


async def _make_users(url: str, settings: DeploySettings, services: Sequence[str]) -> None:
    client = connect(url)
    try:
        for service in services:
            password: str | None = getattr(settings, f"{service}_password")
            if password is None:
                continue
            kept = all([await _grant(one, service, password) for one in await client.nodes()])
            _say(f"{user_of(service)} may log in" if kept else _forgetful(service))
    finally:
        await client.aclose()


async def _grant(client: Client, service: str, password: str) -> bool:
    """Make the service's user as it should be; tell whether it outlives the server's restart."""
    (known,) = await client.line.ask("COMMAND", "INFO", "WAITAOF")
    wanted = [rule for rule in rules(service, password) if known or rule not in LATER]
    await client.execute_command("ACL", "SETUSER", user_of(service), "reset", *wanted)
    for keep in ("ACL SAVE", "CONFIG REWRITE"):
        try:
            await client.execute_command(*keep.split())
        except ResponseError:  # it has no file of that kind
            continue
        return True
    return False


def _forgetful(service: str) -> str:
    return (
        f"{user_of(service)} may log in until the server restarts: start it with an `aclfile`, "
        "or with a configuration file that it may rewrite"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
