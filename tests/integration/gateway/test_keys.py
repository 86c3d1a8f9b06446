"""API keys: in memory, followed by the stream, and never trusted for too long."""

import asyncio

import msgspec
import pytest

from services.gateway.keys import PAYLOAD
from shared.contracts.peers import ApiKey
from shared.contracts.streams import KEYS_STREAM
from shared.runtime.redis import Client
from tests.integration.gateway.house import House
from tests.integration.gateway.ledger_stand import SECRET, api_key

pytestmark = pytest.mark.integration


async def announce(redis: Client, key: ApiKey) -> str:
    """Say on the stream that a key changed."""
    entry: bytes = await redis.xadd(KEYS_STREAM, {PAYLOAD: msgspec.json.encode(key)})
    return entry.decode()


async def until_status(home: House, gateway: str, status: int, secret: str = SECRET) -> None:
    """Wait until a request with this key is answered so."""

    async def answered() -> bool:
        return (await home.post(gateway, x_api_key=secret)).status == status

    await home.until(answered)


async def test_a_revoked_key_stops(home: House, gateway: str, redis: Client) -> None:
    """And works again when it is given back."""
    await announce(redis, api_key(active=False))
    await until_status(home, gateway, 401)
    await announce(redis, api_key())
    await until_status(home, gateway, 202)


async def test_a_revocation_outlives_an_older_list(home: House, redis: Client) -> None:
    """A list made before the announcement does not bring the key back."""
    gateway = await home.gateway(key_stale_max_ms=1_000)  # renewed each third of it
    await announce(redis, api_key(active=False))
    await until_status(home, gateway, 401)
    given = home.ledger.lists_given

    async def renewed() -> bool:
        assert (await home.post(gateway)).status == 401
        return home.ledger.lists_given > given + 1

    await home.until(renewed)


async def test_a_new_key_works_without_a_restart(home: House, gateway: str, redis: Client) -> None:
    """As soon as it is announced."""
    await announce(redis, api_key("new"))
    await until_status(home, gateway, 202, "new")


async def test_what_was_announced_before_the_list_is_not_taken_twice(
    home: House, redis: Client
) -> None:
    """The list says up to where it goes: an older announcement does not undo it."""
    await announce(redis, api_key(active=False))
    home.ledger.as_of = await announce(redis, api_key("marker"))
    gateway = await home.gateway()
    await announce(redis, api_key("newer"))
    await until_status(home, gateway, 202, "newer")
    assert (await home.post(gateway)).status == 202
    assert (await home.post(gateway, x_api_key="marker")).status == 401


async def test_an_announcement_that_cannot_be_read_asks_the_ledger(
    home: House, gateway: str, redis: Client
) -> None:
    """It may have been a revocation."""
    for unreadable in (b"{", b'{"sha256":"\xff"}', b"["):
        home.ledger.keys = []
        await redis.xadd(KEYS_STREAM, {PAYLOAD: unreadable})
        await until_status(home, gateway, 401)
        home.ledger.keys = [api_key()]
        await redis.xadd(KEYS_STREAM, {PAYLOAD: unreadable})
        await until_status(home, gateway, 202)


async def test_keys_serve_for_a_while_without_the_ledger(home: House) -> None:
    """Up to KEY_STALE_MAX, then nobody is let in, until it can be asked again."""
    gateway = await home.gateway(key_stale_max_ms=900_000)
    home.ledger.silent = True
    home.clock.ahead_s += 890
    assert (await home.post(gateway)).status == 202
    home.clock.ahead_s += 20
    stale = await home.post(gateway)
    assert (stale.status, stale.code) == (503, "unavailable")
    assert "Nothing was accepted" in stale.json["error"]
    assert (await home.ask("GET", f"{gateway}/health")).status == 503


async def test_keys_are_renewed_by_themselves(home: House) -> None:
    """A change that was never announced is seen too; and stale keys become fresh."""
    gateway = await home.gateway(key_stale_max_ms=1_000)
    home.ledger.keys = [api_key("only")]
    await until_status(home, gateway, 401)
    assert (await home.post(gateway, x_api_key="only")).status == 202


async def test_without_keys_a_gateway_does_not_open(home: House) -> None:
    """It waits for the ledger; nothing is answered meanwhile, and no restart is needed."""
    home.ledger.silent = True
    starting = asyncio.create_task(home.gateway())
    done, _ = await asyncio.wait({starting}, timeout=0.5)
    assert not done
    home.ledger.silent = False
    assert (await home.post(await starting)).status == 202


async def test_without_a_ratelimiter_a_gateway_does_not_open(home: House) -> None:
    """It cannot know its share of the limits."""
    await home.stop("ratelimiter")
    starting = asyncio.create_task(home.gateway())
    done, _ = await asyncio.wait({starting}, timeout=0.5)
    assert not done
    await home.start_ratelimiter()
    assert (await home.post(await starting)).status == 202
