"""One limit over all gateways, exactly; and less than it while no ratelimiter answers."""

import pytest

from services.ratelimiter.store import window_key
from shared.runtime.redis import Client
from tests.integration.gateway.house import House
from tests.integration.gateway.ledger_stand import CUSTOMER, api_key

pytestmark = pytest.mark.integration

REFUSED = b'{"success":false,"error":"Too many topup requests. Maximum 200 per minute."}'


async def three(home: House, **changes: object) -> list[str]:
    """Start three gateways, each of which knows of all."""
    names = [f"gateway-{n}" for n in (1, 2, 3)]
    gateways = [await home.gateway(name, **changes) for name in names]
    for gateway in gateways:  # a check of each, so that each has heard of the last one
        await home.post(gateway, x_api_key="other", x_customer_id="OTHER")
    return gateways


async def test_250_in_a_row_over_three_gateways(home: House) -> None:
    """200 accepted, 50 refused, whichever gateway is asked; a repeat takes a place too."""
    home.ledger.keys.append(api_key("other", customer_id="OTHER"))
    gateways = await three(home)
    answers = [await home.post(gateways[n % 3], key=f"k{n % 100}") for n in range(250)]
    assert [answer.status for answer in answers] == [202] * 200 + [429] * 50
    assert {answer.body for answer in answers[200:]} == {REFUSED}
    assert [answer.headers["RateLimit"].split(";")[1] for answer in answers[:200]] == [
        f"r={left}" for left in range(199, -1, -1)
    ]
    last = answers[-1]
    assert last.code == "rate_limited"
    assert last.headers["RateLimit-Policy"] == '"customer";q=200;w=60'
    seconds = int(last.headers["Retry-After"])
    assert last.headers["RateLimit"] == f'"customer";r=0;t={seconds}'
    assert 1 <= seconds <= 60


async def test_the_window_slides(home: House, gateway: str, redis: Client) -> None:
    """When the oldest place is a minute old, one more may come, and only one."""
    for _ in range(200):
        await home.post(gateway)
    assert (await home.post(gateway)).status == 429
    await age_the_oldest(redis, by_ms=60_000)
    assert (await home.post(gateway)).status == 202
    assert (await home.post(gateway)).status == 429


async def age_the_oldest(redis: Client, *, by_ms: int) -> None:
    """Let a minute pass for the oldest place."""
    key = window_key(CUSTOMER)
    oldest = int(await redis.lindex(key, 0))
    await redis.lset(key, 0, oldest - by_ms)


async def test_each_customer_has_its_own_limit(home: House) -> None:
    """By its key; nought means never."""
    home.ledger.keys.append(api_key("two", customer_id="TWO", limit_per_minute=2))
    home.ledger.keys.append(api_key("none", customer_id="NONE", limit_per_minute=0))
    gateway = await home.gateway()
    two = [await home.post(gateway, x_api_key="two", x_customer_id="TWO") for _ in range(3)]
    assert [answer.status for answer in two] == [202, 202, 429]
    assert two[2].json["error"] == "Too many topup requests. Maximum 2 per minute."
    none = await home.post(gateway, x_api_key="none", x_customer_id="NONE")
    assert none.status == 429


async def test_without_a_ratelimiter_each_gateway_keeps_to_its_share(home: House) -> None:
    """floor(200 / 3) each: together never more than the limit; health says degraded."""
    home.ledger.keys.append(api_key("other", customer_id="OTHER"))
    gateways = await three(home)
    await home.stop("ratelimiter")
    for gateway in gateways:
        answers = [await home.post(gateway) for _ in range(70)]
        assert [answer.status for answer in answers] == [202] * 66 + [429] * 4
        assert answers[-1].body == REFUSED
        health = (await home.ask("GET", f"{gateway}/health")).json
        assert health["status"] == "degraded"
        assert health["services"]["ratelimiter"]["connected"] is False


async def test_the_ratelimiter_is_found_again(home: House, gateway: str) -> None:
    """By itself, within its next sign of life."""
    await home.stop("ratelimiter")
    await home.post(gateway)
    await home.start_ratelimiter()

    async def connected() -> bool:
        health = (await home.ask("GET", f"{gateway}/health")).json
        return bool(health["services"]["ratelimiter"]["connected"])

    await home.until(connected)
    assert (await home.post(gateway)).headers["RateLimit"].startswith('"customer";r=199;')
