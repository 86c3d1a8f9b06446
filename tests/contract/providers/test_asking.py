"""Asking a provider what became of a send: what it says, and what may be made of that."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from services.dispatcher.providers.adapter import (
    Answer,
    Delivered,
    NotFound,
    Provider,
    Refused,
    Unknown,
)
from services.dispatcher.rules import after_inquiry
from tests.contract.providers import peers
from tests.contract.providers.kit import ASKABLE, KITS, Kit, Said, dtone_says, reloadly_says
from tests.contract.providers.peers import Peer, until
from tests.contract.providers.sandboxes import Sandbox
from tests.contract.providers.test_answers import OURS

pytestmark = pytest.mark.integration
askable = pytest.mark.parametrize("kit", ASKABLE, ids=lambda kit: kit.name)


async def ask(kit: Kit, *said: Said) -> tuple[Answer, Peer]:
    """Return what is made of these answers to a question about our first attempt."""
    adapter = kit.adapter("http://127.0.0.1:9")
    async with Peer(*(peers.tells(*each) for each in said)) as peer:
        adapter = kit.adapter(peer.url)
        wanted = kit.sale(topup_id=OURS)
        answer = await adapter.inquire(wanted, kit.reference(wanted))
        await adapter.close()
    return answer, peer


def history(kit: Kit, said: Mapping[str, str]) -> Said:
    assert kit.history is not None
    return kit.history(kit.reference(kit.sale(topup_id=OURS)), said)


GOOD = {"RELOADLY": "SUCCESSFUL", "DTONE": "COMPLETED"}
BAD = {"RELOADLY": "REFUNDED", "DTONE": "DECLINED"}
OPEN = {"RELOADLY": "PROCESSING", "DTONE": "SUBMITTED"}


def test_what_is_not_documented_is_not_declared(kit: Kit) -> None:
    """Nobody dedupes, nobody says how soon it shows what arrived, no refusal covers another."""
    facts = kit.facts
    assert facts.name == kit.name
    assert not facts.dedupes_on_reference
    assert facts.dedupe_window_ms is None
    assert facts.visible_after_ms is None
    assert not facts.refusal_covers
    assert facts.inquiry == facts.reference_per_attempt == (kit in ASKABLE)
    assert facts.answer_timeout_ms == 1_000


@pytest.mark.parametrize("kit", [k for k in KITS if k not in ASKABLE], ids=lambda kit: kit.name)
async def test_who_cannot_be_asked_is_not(kit: Kit, adapter: Provider, provider: Sandbox) -> None:
    wanted = kit.sale()
    assert isinstance(await adapter.inquire(wanted, kit.reference(wanted)), Unknown)
    assert provider.book(wanted.topup_id)["inquired"] == 0


@askable
@pytest.mark.parametrize("ending", ["903", "904", "905", "908", "910"])
async def test_a_lost_payment_is_found(
    kit: Kit, adapter: Provider, provider: Sandbox, ending: str
) -> None:
    wanted = kit.sale(ending)
    assert isinstance(await adapter.send(wanted, kit.attempt(wanted)), Unknown)
    answer = await adapter.inquire(wanted, kit.reference(wanted))
    booked = provider.book(wanted.topup_id)
    assert isinstance(answer, Delivered)
    assert answer.provider_reference == booked["transaction"]
    assert (booked["inquired"], booked["asked"]) == (1, 1), "a question is no payment"


@askable
async def test_never_heard_of_it_is_said_and_never_believed(
    kit: Kit, adapter: Provider, provider: Sandbox
) -> None:
    """How soon they show what arrived is written nowhere."""
    wanted = kit.sale("906")
    assert isinstance(await adapter.send(wanted, kit.attempt(wanted)), Unknown)
    answer = await adapter.inquire(wanted, kit.reference(wanted))
    assert isinstance(answer, NotFound)
    verdict: Any = after_inquiry(
        answer, final=True, facts=kit.facts, attempt=2, by="d", chance=0, resend=True
    )
    assert verdict.why == "no_proof"


@askable
async def test_each_attempt_is_asked_about_by_itself(
    kit: Kit, adapter: Provider, provider: Sandbox
) -> None:
    """What an older attempt was refused for is not said of a newer one, nor the other way."""
    wanted = kit.sale("902")
    for number in (1, 2, 3):
        await adapter.send(wanted, kit.attempt(wanted, number))
    asked = [await adapter.inquire(wanted, kit.reference(wanted, n)) for n in (1, 3, 31)]
    assert isinstance(asked[0], Refused | NotFound)
    assert isinstance(asked[1], Delivered)
    assert isinstance(asked[2], NotFound)


@askable
async def test_what_still_runs_is_unknown(kit: Kit, adapter: Provider, provider: Sandbox) -> None:
    wanted = kit.sale("909")
    sending = asyncio.create_task(adapter.send(wanted, kit.attempt(wanted)))
    await until(lambda: bool(provider.book(wanted.topup_id)["running"]))
    assert isinstance(await adapter.inquire(wanted, kit.reference(wanted)), Unknown)
    assert isinstance(await sending, Delivered)


@askable
async def test_a_question_survives_a_revoked_token(
    kit: Kit, adapter: Provider, provider: Sandbox
) -> None:
    wanted = kit.sale()
    await adapter.send(wanted, kit.attempt(wanted))
    provider.ask("POST", "/faults", {"revoke_tokens": True})
    assert isinstance(await adapter.inquire(wanted, kit.reference(wanted)), Delivered)


@askable
async def test_one_payment_among_many_decides(kit: Kit) -> None:
    good, bad, is_open = GOOD[kit.name], BAD[kit.name], OPEN[kit.name]
    kinds: dict[type[Answer], list[dict[str, str]]] = {
        Delivered: [{"": good}, {"0": bad, "": good}, {"": good, "-1": is_open}],
        Refused: [{"": bad}, {"": bad, "0": good}, {"": bad, "9": is_open}],
        Unknown: [{"": is_open}],
    }
    for kind, histories in kinds.items():
        for said in histories:
            answer, peer = await ask(kit, history(kit, said))
            assert isinstance(answer, kind), said
            assert kit.paying not in [seen.path for seen in peer.requests if seen.method == "POST"]


@askable
@pytest.mark.parametrize("status", [201, 302, 400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("body", [{}, [], b"<html>", b"", {"content": []}])
async def test_what_is_no_answer_to_a_question_says_nothing(
    kit: Kit, status: int, body: object
) -> None:
    answer, _ = await ask(kit, (body, status))
    holds = isinstance(answer, Refused) and answer.kind == "hold"
    assert isinstance(answer, Unknown) or (holds and status == 401 and bool(kit.login))


async def test_an_unauthorized_question_of_the_past_holds_nothing() -> None:
    """Told of the past: nothing was paid then; our balance of then is not how it is now."""
    (kit,) = (kit for kit in ASKABLE if kit.name == "DTONE")
    answer, _ = await ask(kit, history(kit, {"": "REJECTED-INSUFFICIENT-BALANCE"}))
    assert isinstance(answer, Refused)
    assert answer.kind == "retry"


async def test_reloadly_is_asked_for_a_status_that_its_report_leaves_out() -> None:
    """As its report of some years did; about the very transaction that the report named."""
    (kit,) = (kit for kit in ASKABLE if kit.name == "RELOADLY")
    ours = kit.reference(kit.sale(topup_id=OURS))
    row = reloadly_says(ours, transactionId=77)
    row.pop("status")
    page = ({"content": [row]}, 200)
    for said, kind in (
        ({"status": "SUCCESSFUL", "transaction": row}, Delivered),
        ({"status": "REFUNDED", "transaction": row}, Refused),
        ({"status": "SUCCESSFUL", "transaction": {**row, "transactionId": 78}}, Unknown),
        ({"status": "SUCCESSFUL"}, Unknown),
    ):
        answer, peer = await ask(kit, page, (said, 200))
        assert isinstance(answer, kind), said
        assert peer.paths()[-1] == "/topups/77/status"


async def test_a_page_of_reloadlys_report_that_is_not_all_is_no_absence() -> None:
    (kit,) = (kit for kit in ASKABLE if kit.name == "RELOADLY")
    other = reloadly_says("another")
    assert isinstance((await ask(kit, ({"content": [other]}, 200)))[0], NotFound)
    more = {"content": [other], "totalElements": 2}
    assert isinstance((await ask(kit, (more, 200)))[0], Unknown)


async def test_a_list_of_dt_one_that_ignored_the_question_is_no_absence() -> None:
    (kit,) = (kit for kit in ASKABLE if kit.name == "DTONE")
    assert isinstance((await ask(kit, ([], 200)))[0], NotFound)
    assert isinstance((await ask(kit, ([dtone_says("another")], 200)))[0], Unknown)
