"""More than the stack can take: it says no, keeps what it has promised, and recovers."""

import secrets

import pytest

from tests.chaos.merchant import Sale
from tests.load.flood import Flood
from tests.system.stack import Stack, check_books, until

pytestmark = [pytest.mark.system, pytest.mark.long]

PLACES, LANE = 40, 100
AT_ONCE = 4 * 3 * PLACES
SALES = 4_000


@pytest.mark.settings(
    REQUESTS_MAX=str(PLACES),
    LANE_WAITING_MAX=str(LANE),
    QUEUE_CONCURRENCY="5",
    SANDBOX_LATENCY="50",
)
async def test_what_is_too_much_is_refused_at_once_and_soon_forgotten(stack: Stack) -> None:
    """Many times what its few slots can pay: each request is accepted, or told when to repeat it.

    All that was accepted is paid once, nothing else is, and then there is room again.
    """
    batch = secrets.token_hex(4)
    flood = Flood(int(stack.url.rpartition(":")[2]), stack.env["TOPUP_API_KEY"])
    sales = [Sale(f"{batch}-{n}", f"5566374{n % 900:03}", 10) for n in range(SALES)]
    heard = await flood.keep_asking(sales, at_once=AT_ONCE)
    flood.close()
    assert {one.status for one in heard} == {202, 503}
    refused = [one for one in heard if one.status == 503]
    assert all(one.retry_after == "1" for one in refused)
    accepted = [one.topup_id for one in heard if one.topup_id is not None]
    assert len(accepted) == len(set(accepted)) == len(heard) - len(refused)
    assert len(refused) > len(accepted), "it was far more than could be taken"

    await stack.until_settled(len(accepted), within_s=60)
    for start in range(0, len(accepted), PLACES):  # who looks needs a place too
        some = accepted[start : start + PLACES]
        assert await check_books(stack, some) == {"succeeded": len(some)}
    assert (await stack.queue())["total"] == len(accepted), "what was refused was not accepted"

    async def has_room() -> bool:
        return (await stack.post())[0] == 202

    await until(has_room)
