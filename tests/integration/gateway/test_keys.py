"""API keys: in memory, followed by the stream, and never trusted for too long."""

import asyncio

import msgspec
import pytest

from services.gateway.keys import PAYLOAD, Keyring
from services.gateway.peers import Ledger
from services.gateway.uses import Uses
from shared.contracts.peers import KEY_USES_MAX, ApiKey
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


async def test_a_key_ends_by_itself(home: House, redis: Client) -> None:
    """At the moment that was told with it, though nobody tells anything then."""
    ends_ms = home.clock.now_ms() + 600_000
    home.ledger.keys = [api_key(expires_at_ms=ends_ms)]
    gateway = await home.gateway()
    await announce(redis, api_key("new", expires_at_ms=ends_ms))
    await until_status(home, gateway, 202, "new")
    for ahead_s, status in ((590, 202), (20, 401)):
        home.clock.ahead_s += ahead_s
        for secret in (SECRET, "new"):
            assert (await home.post(gateway, x_api_key=secret)).status == status


async def test_a_revocation_is_heard_after_a_cut(home: House, gateway: str, redis: Client) -> None:
    """A gateway that lost Valkey reads on from where it was, without asking the ledger."""
    given = home.ledger.lists_given
    await redis.client_kill_filter(_type="normal", skipme=True)
    await announce(redis, api_key(active=False))
    await until_status(home, gateway, 401)
    assert home.ledger.lists_given == given


async def test_a_drained_gateway_tells_which_keys_were_used(home: House, gateway: str) -> None:
    """Also where nothing was allowed with it; what is no key is not told."""
    home.ledger.keys += [api_key("idle"), api_key("reader", scopes=["topup:read"])]
    other = await home.gateway("gateway-2")
    before_ms = home.clock.now_ms()
    for secret in (SECRET, "reader", "reader", "unknown"):
        await home.post(other, x_api_key=secret)
    await home.stop("gateway-2")
    used = home.ledger.last_used_at_ms
    assert used.keys() == {api_key(secret).sha256 for secret in (SECRET, "reader")}
    assert all(before_ms <= at_ms <= home.clock.now_ms() for at_ms in used.values())
    assert (await home.post(gateway)).status == 202


async def test_what_the_ledger_could_not_be_told_is_told_later(home: House, redis: Client) -> None:
    """In messages of a bounded size, each key once, however often it was used meanwhile."""
    secrets = [f"key-{number}" for number in range(2 * KEY_USES_MAX + 1)]
    home.ledger.keys = [api_key(secret) for secret in secrets]
    ledger = Ledger(home.ledger.url)
    keyring = Keyring(ledger, redis, home.clock, stale_ms=900_000)
    uses = Uses(keyring, ledger, home.clock)
    await keyring.renew()
    home.ledger.silent = True
    for _ in range(2):
        assert all(keyring.find(secret) for secret in secrets)
        await uses.report()
    assert home.ledger.uses_told == []
    home.ledger.silent = False
    await uses.report()
    assert home.ledger.uses_told == [KEY_USES_MAX, KEY_USES_MAX, 1]
    assert home.ledger.last_used_at_ms.keys() == {api_key(secret).sha256 for secret in secrets}
    await uses.report()
    assert len(home.ledger.uses_told) == 3
    await ledger.close()


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
