"""Each of the sandbox's endings, through each provider's adapter, over real HTTP."""

import asyncio

import pytest

from services.dispatcher.providers.adapter import Delivered, Provider, Refused, Unknown
from tests.contract.providers.kit import LATCOM, Kit
from tests.contract.providers.sales import Attempt, sale, sandbox_latcom
from tests.contract.providers.sandboxes import Sandbox, sandbox

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("ending", ["000", "500", "899", "900", "999"])
async def test_a_common_number_is_paid_once(
    kit: Kit, adapter: Provider, provider: Sandbox, ending: str
) -> None:
    wanted = kit.sale(ending)
    attempt = kit.attempt(wanted)
    answer = await adapter.send(wanted, attempt)
    booked = provider.book(wanted.topup_id)
    assert isinstance(answer, Delivered)
    assert answer.provider_reference == booked["transaction"]
    assert (booked["paid"], booked["asked"], booked["amount"]) == (1, 1, 10)
    assert (attempt.looked, attempt.sent) == (1, 1)


async def test_901_is_a_no_for_good(kit: Kit, adapter: Provider, provider: Sandbox) -> None:
    wanted = kit.sale("901")
    answer = await adapter.send(wanted, kit.attempt(wanted))
    assert isinstance(answer, Refused)
    assert answer.kind in {"final", "number"}
    assert provider.book(wanted.topup_id)["paid"] == 0


async def test_902_is_refused_twice_and_then_paid(
    kit: Kit, adapter: Provider, provider: Sandbox
) -> None:
    wanted = kit.sale("902")
    answers = [await adapter.send(wanted, kit.attempt(wanted, number)) for number in (1, 2, 3)]
    assert [getattr(answer, "kind", "") for answer in answers] == ["retry", "retry", ""]
    assert isinstance(answers[2], Delivered)
    assert provider.book(wanted.topup_id)["paid"] == 1


@pytest.mark.parametrize(
    ("ending", "paid"), [("903", 1), ("904", 1), ("905", 1), ("906", 0), ("908", 1), ("910", 1)]
)
async def test_every_lost_answer_is_unknown_whether_it_paid_or_not(
    kit: Kit, adapter: Provider, provider: Sandbox, ending: str, paid: int
) -> None:
    wanted = kit.sale(ending)
    assert isinstance(await adapter.send(wanted, kit.attempt(wanted)), Unknown)
    booked = provider.book(wanted.topup_id)
    assert (booked["paid"], booked["asked"]) == (paid, 1), "one request on the wire"


async def test_907_holds_until_the_wallet_is_topped_up(
    kit: Kit, adapter: Provider, provider: Sandbox
) -> None:
    wanted = kit.sale("907")
    answer = await adapter.send(wanted, kit.attempt(wanted, 1))
    assert isinstance(answer, Refused)
    assert answer.kind == "hold"
    provider.ask("POST", "/wallet", {"amount": 10})
    assert isinstance(await adapter.send(wanted, kit.attempt(wanted, 2)), Delivered)
    other = kit.sale("907")
    assert isinstance(await adapter.send(other, kit.attempt(other)), Refused), "empty again"


async def test_909_is_slow_but_fine(kit: Kit, adapter: Provider, provider: Sandbox) -> None:
    wanted = kit.sale("909")
    assert isinstance(await adapter.send(wanted, kit.attempt(wanted)), Delivered)
    assert provider.book(wanted.topup_id)["paid"] == 1


async def test_a_wrong_amount_is_refused_by_the_provider_itself(provider: Sandbox) -> None:
    """The sandbox checks LATCOM's tax with its own arithmetic."""
    adapter = LATCOM.adapter(provider.url)
    for minor in (3_000, 3_100, 99_900, 200_000):
        wanted = sale(amount_minor=minor, product="TFE_MXN_20_TO_2000")
        assert isinstance(await adapter.send(wanted, Attempt(wanted.topup_id)), Delivered)
        told = provider.book(wanted.topup_id)["amount"]
        assert abs(told * 1.16 - minor / 100) < 0.006
    await adapter.close()


async def test_a_second_send_of_an_order_pays_twice(
    kit: Kit, adapter: Provider, provider: Sandbox
) -> None:
    """The trap is real: nothing behind the adapter saves a careless dispatcher."""
    wanted = kit.sale()
    for number in (1, 2):
        assert isinstance(await adapter.send(wanted, kit.attempt(wanted, number)), Delivered)
    assert wanted.topup_id in provider.book()["paid_twice"]


async def test_a_reference_that_was_used_is_doubt_and_no_refusal(
    kit: Kit, adapter: Provider, provider: Sandbox
) -> None:
    """Where a provider takes each reference once, a second one may be of a payment."""
    if not kit.facts.reference_per_attempt:
        return
    wanted = kit.sale()
    await adapter.send(wanted, kit.attempt(wanted))
    assert isinstance(await adapter.send(wanted, kit.attempt(wanted)), Unknown)
    assert provider.book(wanted.topup_id)["paid"] == 1


async def test_a_crowd_goes_at_once_on_one_login() -> None:
    with sandbox(SANDBOX_LATENCY="2000", LATCOM_TIMEOUT="15s") as provider:
        adapter = LATCOM.adapter(provider.url, timeout_ms=15_000)
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
