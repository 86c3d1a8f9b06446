"""Asking by our reference on LATCOM's wire, where the sandbox is told to answer."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from services.dispatcher.providers.adapter import Delivered, NotFound, Refused, Unknown
from services.dispatcher.providers.sandbox import SandboxLatcom
from tests.contract.providers.peers import until
from tests.contract.providers.sales import Attempt, sale, sandbox_latcom
from tests.contract.providers.sandboxes import Sandbox, sandbox

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def provider() -> Iterator[Sandbox]:
    """A sandbox that can be asked."""
    with sandbox(SANDBOX_INQUIRY="on") as started:
        yield started


@pytest.fixture
async def asking(provider: Sandbox) -> AsyncIterator[SandboxLatcom]:
    """The adapter that asks."""
    made = sandbox_latcom(provider.url, inquiry=True)
    yield made
    await made.close()


async def test_a_lost_payment_is_found(asking: SandboxLatcom, provider: Sandbox) -> None:
    wanted = sale("905")
    assert isinstance(await asking.send(wanted, Attempt(wanted.topup_id)), Unknown)
    answer = await asking.inquire(wanted, wanted.topup_id)
    assert isinstance(answer, Delivered)
    assert answer.provider_reference == provider.book(wanted.topup_id)["transaction"]
    assert provider.book(wanted.topup_id)["inquired"] == 1, "questions are counted"
    assert provider.book(wanted.topup_id)["asked"] == 1, "and are no payments"


async def test_what_never_paid_was_never_heard_of(asking: SandboxLatcom) -> None:
    lost = sale("906")
    assert isinstance(await asking.send(lost, Attempt(lost.topup_id)), Unknown)
    assert isinstance(await asking.inquire(lost, lost.topup_id), NotFound)
    assert isinstance(await asking.inquire(sale(), "nobody"), NotFound)


@pytest.mark.parametrize(("ending", "kind"), [("901", "final"), ("902", "retry"), ("907", "retry")])
async def test_a_refusal_is_remembered_and_holds_nothing_now(
    asking: SandboxLatcom, ending: str, kind: str
) -> None:
    wanted = sale(ending)
    await asking.send(wanted, Attempt(wanted.topup_id))
    answer = await asking.inquire(wanted, wanted.topup_id)
    assert isinstance(answer, Refused)
    assert answer.kind == kind


async def test_what_still_runs_is_unknown(asking: SandboxLatcom, provider: Sandbox) -> None:
    wanted = sale("909")
    sending = asyncio.create_task(asking.send(wanted, Attempt(wanted.topup_id)))
    await until(lambda: bool(provider.book(wanted.topup_id)["running"]))
    assert isinstance(await asking.inquire(wanted, wanted.topup_id), Unknown)
    assert isinstance(await sending, Delivered)


async def test_a_question_survives_a_revoked_token(
    asking: SandboxLatcom, provider: Sandbox
) -> None:
    wanted = sale()
    await asking.send(wanted, Attempt(wanted.topup_id))
    provider.ask("POST", "/faults", {"revoke_tokens": True})
    assert isinstance(await asking.inquire(wanted, wanted.topup_id), Delivered)
