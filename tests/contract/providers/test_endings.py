"""Each of the sandbox's endings, through LATCOM's adapter, over real HTTP."""

import asyncio

import pytest

from services.dispatcher.providers.adapter import Delivered, Refused, Unknown
from services.dispatcher.providers.latcom import Latcom
from tests.contract.providers.sales import Attempt, latcom, sale, sandbox_latcom
from tests.contract.providers.sandboxes import Sandbox, sandbox

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("ending", ["000", "500", "899", "900", "999"])
async def test_a_common_number_is_paid_once(
    adapter: Latcom, provider: Sandbox, ending: str
) -> None:
    wanted = sale(ending)
    attempt = Attempt(wanted.topup_id)
    answer = await adapter.send(wanted, attempt)
    booked = provider.book(wanted.topup_id)
    assert isinstance(answer, Delivered)
    assert answer.provider_reference == booked["transaction"]
    assert (booked["paid"], booked["asked"], booked["amount"]) == (1, 1, 10)
    assert (attempt.looked, attempt.sent) == (1, 1)


async def test_901_is_a_final_no(adapter: Latcom, provider: Sandbox) -> None:
    wanted = sale("901")
    answer = await adapter.send(wanted, Attempt(wanted.topup_id))
    assert isinstance(answer, Refused)
    assert (answer.kind, answer.code) == ("final", "SBX_REFUSED")
    assert provider.book(wanted.topup_id)["paid"] == 0


async def test_902_is_refused_twice_and_then_paid(adapter: Latcom, provider: Sandbox) -> None:
    wanted = sale("902")
    answers = [await adapter.send(wanted, Attempt(wanted.topup_id)) for _ in range(3)]
    assert [getattr(answer, "kind", "") for answer in answers] == ["retry", "retry", ""]
    assert isinstance(answers[2], Delivered)
    assert provider.book(wanted.topup_id)["paid"] == 1


@pytest.mark.parametrize(
    ("ending", "paid"), [("903", 1), ("904", 1), ("905", 1), ("906", 0), ("908", 1), ("910", 1)]
)
async def test_every_lost_answer_is_unknown_whether_it_paid_or_not(
    adapter: Latcom, provider: Sandbox, ending: str, paid: int
) -> None:
    wanted = sale(ending)
    assert isinstance(await adapter.send(wanted, Attempt(wanted.topup_id)), Unknown)
    booked = provider.book(wanted.topup_id)
    assert (booked["paid"], booked["asked"]) == (paid, 1), "one request on the wire"


async def test_907_holds_until_the_wallet_is_topped_up(adapter: Latcom, provider: Sandbox) -> None:
    wanted = sale("907")
    answer = await adapter.send(wanted, Attempt(wanted.topup_id))
    assert isinstance(answer, Refused)
    assert answer.kind == "hold"
    provider.ask("POST", "/wallet", {"amount": 10})
    assert isinstance(await adapter.send(wanted, Attempt(wanted.topup_id)), Delivered)
    other = sale("907")
    assert isinstance(await adapter.send(other, Attempt(other.topup_id)), Refused), "empty again"


async def test_909_is_slow_but_fine(adapter: Latcom, provider: Sandbox) -> None:
    wanted = sale("909")
    assert isinstance(await adapter.send(wanted, Attempt(wanted.topup_id)), Delivered)
    assert provider.book(wanted.topup_id)["paid"] == 1


async def test_a_wrong_amount_is_refused_by_the_provider_itself(
    adapter: Latcom, provider: Sandbox
) -> None:
    """The sandbox checks the tax with its own arithmetic."""
    for minor in (3_000, 3_100, 99_900, 200_000):
        wanted = sale(amount_minor=minor, product="TFE_MXN_20_TO_2000")
        assert isinstance(await adapter.send(wanted, Attempt(wanted.topup_id)), Delivered)
        told = provider.book(wanted.topup_id)["amount"]
        assert abs(told * 1.16 - minor / 100) < 0.006


async def test_without_dedupe_a_second_send_pays_twice(adapter: Latcom, provider: Sandbox) -> None:
    """The trap is real: nothing behind the adapter saves a careless dispatcher."""
    wanted = sale()
    for _ in range(2):
        await adapter.send(wanted, Attempt(wanted.topup_id))
    assert wanted.topup_id in provider.book()["paid_twice"]


async def test_a_crowd_goes_at_once_on_one_login() -> None:
    with sandbox(SANDBOX_LATENCY="2000", LATCOM_TIMEOUT="15s") as provider:
        adapter = latcom(provider.url, timeout_ms=15_000)
        crowd = [sale() for _ in range(500)]
        answers = await asyncio.gather(*(adapter.send(s, Attempt(s.topup_id)) for s in crowd))
        await adapter.close()
        book = provider.book()
        assert all(isinstance(answer, Delivered) for answer in answers)
        assert (book["paid"], book["logins"]) == (500, 1)
        assert book["at_once_max"] == 500


async def test_a_sandbox_that_dedupes_pays_once_and_says_the_same_again() -> None:
    with sandbox(SANDBOX_DEDUPES="on", SANDBOX_LATENCY="30") as provider:
        adapter = sandbox_latcom(provider.url, dedupes=True)
        assert adapter.facts.dedupes_on_reference
        assert adapter.facts.dedupe_window_ms
        wanted, lost = sale(), sale("905")
        both = await asyncio.gather(
            *(adapter.send(wanted, Attempt(wanted.topup_id)) for _ in range(2))
        )
        later = await adapter.send(wanted, Attempt(wanted.topup_id))
        first = await adapter.send(lost, Attempt(lost.topup_id))
        second = await adapter.send(lost, Attempt(lost.topup_id))
        await adapter.close()
        named = {a.provider_reference for a in (*both, later) if isinstance(a, Delivered)}
        assert named == {provider.book(wanted.topup_id)["transaction"]}
        assert isinstance(first, Unknown)
        assert isinstance(second, Delivered)
        assert provider.book()["paid_twice"] == []
        assert provider.book(lost.topup_id)["asked"] == 2
