"""LATCOM's adapter: the token, the two tries around a 401, and what an answer means."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from ops.ports import free_port
from services.dispatcher.providers.adapter import Answer, Delivered, NotSent, Refused, Unknown
from services.dispatcher.providers.latcom import Latcom
from tests.contract.providers import peers
from tests.contract.providers.peers import Peer, until
from tests.contract.providers.sales import Attempt, latcom, sale, settings
from tests.contract.providers.sandboxes import ACCESS, Sandbox, sandbox

OURS = "topup-of-ours"
Send = Callable[..., Awaitable[Answer]]


async def send(url: str, *acts_rights: bool, amount_minor: int = 1_000) -> tuple[Answer, Attempt]:
    """Make one attempt for our topup with an adapter of its own."""
    adapter = latcom(url)
    attempt = Attempt(OURS, *acts_rights)
    try:
        answer = await adapter.send(sale(topup_id=OURS, amount_minor=amount_minor), attempt)
    finally:
        await adapter.close()
    return answer, attempt


# -- the token -------------------------------------------------------------------------------------


async def test_a_token_taken_no_longer_is_renewed_and_the_attempt_goes_on(
    adapter: Latcom, provider: Sandbox
) -> None:
    first, wanted = sale(), sale()
    await adapter.send(first, Attempt(first.topup_id))
    provider.ask("POST", "/faults", {"revoke_tokens": True})
    attempt = Attempt(wanted.topup_id)
    assert isinstance(await adapter.send(wanted, attempt), Delivered)
    assert provider.book(wanted.topup_id)["paid"] == 1
    assert attempt.looked == 2, "the second write was asked for too"


async def test_a_second_401_holds_the_lane(adapter: Latcom, provider: Sandbox) -> None:
    provider.ask("POST", "/faults", {"unauthorized": 2})
    wanted = sale()
    answer = await adapter.send(wanted, Attempt(wanted.topup_id))
    assert isinstance(answer, Refused)
    assert (answer.kind, answer.code) == ("hold", "http_401")
    assert provider.book(wanted.topup_id)["asked"] == 0


async def test_after_a_401_nothing_is_written_without_leave() -> None:
    async with Peer(peers.tells({}, 401), peers.tells(told())) as peer:
        answer, attempt = await send(peer.url, True, False)
        assert isinstance(answer, NotSent)
        assert peer.paths().count("/api/tn/fast") == 1
        assert (attempt.looked, attempt.sent) == (2, 1)


async def test_a_lost_answer_after_a_401_is_unknown() -> None:
    async with Peer(peers.tells({}, 401), peers.cuts) as peer:
        answer, _ = await send(peer.url)
        assert isinstance(answer, Unknown)
        assert peer.paths().count("/api/tn/fast") == 2


async def test_wrong_credentials_hold_the_lane(provider: Sandbox) -> None:
    adapter = latcom(provider.url, password="not the password")
    answer = await adapter.send(sale(), Attempt("x"))
    await adapter.close()
    assert isinstance(answer, Refused)
    assert (answer.kind, answer.code) == ("hold", "login_401")


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(peers.tells({"access": ""}), id="empty"),
        pytest.param(peers.tells({"access": "a\r\nx: y"}), id="two_lines"),
        pytest.param(peers.tells({"access": 5}), id="number"),
        pytest.param(peers.tells({"token": "other"}), id="other_name"),
        pytest.param(peers.tells(b"\xff\xfe{"), id="rubbish"),
        pytest.param(peers.tells(b'{"access":"good","x":' + b"[" * 9_999), id="deep"),
        pytest.param(peers.tells({"access": "good"}, 302), id="redirect"),
        pytest.param(peers.tells({}, 503), id="status"),
        pytest.param(peers.cuts, id="cut"),
        pytest.param(peers.is_silent, id="silent"),
        pytest.param(peers.floods, id="flood"),
    ],
)
async def test_a_login_that_fails_means_not_sent(act: peers.Act) -> None:
    async with Peer(logs_in=act) as peer:
        answer, attempt = await send(peer.url)
        assert isinstance(answer, NotSent)
        assert peer.paths() == ["/api/dislogin"]
        assert attempt.looked == 0


async def test_a_failing_login_is_tried_again_by_the_next_attempt(provider: Sandbox) -> None:
    provider.ask("POST", "/faults", {"failing_logins": 1})
    adapter = latcom(provider.url)
    wanted = sale()
    first = await adapter.send(wanted, Attempt(wanted.topup_id))
    second = await adapter.send(wanted, Attempt(wanted.topup_id))
    await adapter.close()
    assert isinstance(first, NotSent)
    assert isinstance(second, Delivered)


async def test_nobody_there_means_not_sent() -> None:
    answer, attempt = await send(f"http://127.0.0.1:{free_port()}")
    assert isinstance(answer, NotSent)
    assert attempt.looked == 0


async def test_the_token_is_renewed_ahead_and_nobody_waits_for_it() -> None:
    with sandbox() as provider:
        clock = [1_000.0]
        adapter = Latcom(settings(provider.url, token_life_ms=100_000), monotonic=lambda: clock[0])
        one, two, three = sale(), sale(), sale()
        await adapter.send(one, Attempt(one.topup_id))
        clock[0] += 74
        await adapter.send(two, Attempt(two.topup_id))
        assert provider.book()["logins"] == 1
        clock[0] += 2
        assert isinstance(await adapter.send(three, Attempt(three.topup_id)), Delivered)
        await until(lambda: provider.book()["logins"] == 2)
        clock[0] += 101
        assert isinstance(await adapter.send(one, Attempt("late")), Delivered)
        await adapter.close()
        assert provider.book()["logins"] == 3


async def test_one_who_gives_up_does_not_end_the_login_of_the_others() -> None:
    with sandbox() as provider:
        adapter = latcom(provider.url)
        wanted = sale()
        given_up = asyncio.create_task(adapter.send(sale(), Attempt("x", False)))
        staying = asyncio.create_task(adapter.send(wanted, Attempt(wanted.topup_id)))
        await asyncio.sleep(0)
        given_up.cancel()
        assert isinstance(await staying, Delivered)
        await adapter.close()
        assert provider.book()["logins"] == 1


async def test_a_withheld_attempt_asks_for_nothing(adapter: Latcom, provider: Sandbox) -> None:
    wanted = sale()
    assert isinstance(await adapter.send(wanted, Attempt(wanted.topup_id, False)), NotSent)
    assert provider.book(wanted.topup_id)["asked"] == 0


# -- what an answer means --------------------------------------------------------------------------


def told(**fields: object) -> dict[str, object]:
    """Return LATCOM's success, but for these fields."""
    return {
        "status": "Success",
        "transId": "T1",
        "venTransid": "V1",
        "vendorResponseCode": "0",
        "vendorResponseMsg": "ok",
        "distTransid": OURS,
        **fields,
    }


@pytest.mark.parametrize("status", ["Success", "SUCCESS", "success"])
async def test_success_in_any_case_with_our_id_is_delivered(status: str) -> None:
    async with Peer(peers.tells(told(status=status, transId=77, more={"new": 1}))) as peer:
        answer, _ = await send(peer.url)
        assert isinstance(answer, Delivered)
        assert answer.provider_reference == "77"


NO = {"status": "Fail", "transId": ""}


@pytest.mark.parametrize("message", ["Subscriber not eligible", "", "No existe el numero"])
async def test_a_refusal_with_our_id_is_final(message: str) -> None:
    no = told(**NO, vendorResponseCode=14, vendorResponseMsg=message)
    async with Peer(peers.tells(no)) as peer:
        answer, _ = await send(peer.url)
        assert isinstance(answer, Refused)
        assert (answer.kind, answer.code, answer.reason) == ("final", "14", message)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(told(distTransid="another"), 200, id="success_of_another"),
        pytest.param(told(distTransid=None), 200, id="success_of_nobody"),
        pytest.param(told(distTransid=OURS + " "), 200, id="success_of_nearly"),
        pytest.param(told(**NO, distTransid="another"), 200, id="refusal_of_another"),
        pytest.param(told(**NO, distTransid=None), 200, id="refusal_of_nobody"),
        pytest.param(told(**NO, vendorResponseMsg="Duplicate reference"), 200, id="duplicate"),
        pytest.param(told(**NO, vendorResponseMsg="Transaccion DUPLICADA"), 200, id="duplicada"),
        pytest.param(told(**NO, vendorResponseMsg="already processed"), 200, id="already"),
        pytest.param(told(**NO, vendorResponseMsg="Vendor time out"), 200, id="time_out"),
        pytest.param(told(**NO, vendorResponseMsg="Timed out"), 200, id="timed_out"),
        pytest.param(told(**NO, vendorResponseCode="TIMEOUT"), 200, id="timeout_code"),
        pytest.param(told(**NO, vendorResponseMsg="en proceso"), 200, id="in_process"),
        pytest.param(told(status="Pending"), 200, id="pending"),
        pytest.param(told(status=""), 200, id="no_status"),
        pytest.param(told(status=None), 200, id="null_status"),
        pytest.param({"distTransid": OURS}, 200, id="only_our_id"),
        pytest.param([told()], 200, id="a_list"),
        pytest.param(b"", 200, id="nothing"),
        pytest.param(b"<html>", 200, id="html"),
        pytest.param(b'{"status":"Success","distTransid":"topup-of-ours"', 200, id="cut_json"),
        pytest.param(b"\xff\xfe", 200, id="rubbish"),
        pytest.param(
            b'{"status":"Fail","status":"Success","distTransid":"topup-of-ours"}', 200, id="both"
        ),
        pytest.param(
            b'{"status":"Fail","distTransid":"x","distTransid":"topup-of-ours"}', 200, id="two_ids"
        ),
        pytest.param(
            b'{"status":"Success","distTransid":"topup-of-ours","x":' + b"[" * 9_999, 200, id="deep"
        ),
        *[
            pytest.param(told(), code, id=f"success_{code}")
            for code in (201, 202, 302, 400, 403, 404, 409, 429, 500, 502, 503, 504)
        ],
        *[pytest.param(told(**NO), code, id=f"fail_{code}") for code in (400, 409, 500, 503)],
    ],
)
async def test_anything_else_is_unknown(body: object, status: int) -> None:
    async with Peer(peers.tells(body, status)) as peer:
        answer, _ = await send(peer.url)
        assert isinstance(answer, Unknown)
        assert peer.paths().count("/api/tn/fast") == 1


async def test_what_cannot_be_told_to_latcom_is_refused_here(provider: Sandbox) -> None:
    adapter = latcom(provider.url)
    for wanted in (
        sale(product="XOOM_20_MXN"),
        sale(product="nothing"),
        sale(currency="USD"),
        sale(country="US"),
        sale(phone="+15512345123"),
        sale(product="TFE_MXN_20_TO_2000", amount_minor=3_050),
    ):
        attempt = Attempt(wanted.topup_id)
        answer = await adapter.send(wanted, attempt)
        assert isinstance(answer, Refused)
        assert (answer.kind, answer.code, attempt.looked) == ("final", "not_sold", 0)
    await adapter.close()


@pytest.mark.parametrize("status", ["Success", "Fail", "What"])
async def test_nothing_is_kept_that_the_ledger_could_not_store(status: str) -> None:
    """PostgreSQL has no NUL, in text or in JSON: a paid topup must not be unbookable for it."""
    nul = {"transId": "T\x001", "vendorResponseCode": "7\x00", "vendorResponseMsg": "no\x00"}
    async with Peer(peers.tells(told(status=status, **nul))) as peer:
        answer, _ = await send(peer.url)
    kept = msgspec.json.encode(answer).decode()
    assert "\\u0000" not in kept.replace("\\\\", "\\")
    assert "\ufffd" in kept or "ufffd" in kept


# -- nothing secret leaves -------------------------------------------------------------------------


async def test_evidence_shows_no_secret_and_no_whole_phone() -> None:
    wanted = sale(topup_id=OURS)
    national = wanted.phone[3:]
    spaced = f"{national[:2]} {national[2:6]}-{national[6:]}"
    secrets = [*ACCESS.values(), "token-of-the-peer", "eyJhbGciOi.eyJzdWIi.c2ln", national, spaced]
    words = f"no: {' | '.join(secrets)} +52{national} 52{national} Bearer abc.def" + "x" * 50_000
    for fields in ({}, NO, {"status": "What"}):
        async with Peer(peers.tells(told(**fields, vendorResponseMsg=words))) as peer:
            answer, _ = await send(peer.url)
            shown = repr(answer)
            assert not [secret for secret in secrets if secret in shown]
            assert "abc.def" not in shown
            assert national[2:8] not in shown.replace(" ", "").replace("-", "")
            assert OURS in shown, "our own id stays readable"
            assert len(shown) < 3_000


async def test_settings_and_adapter_print_no_secret(provider: Sandbox) -> None:
    wanted = settings(provider.url)
    adapter = latcom(provider.url)
    shown = f"{wanted!r} {wanted} {adapter!r} {adapter.facts!r}"
    assert not [secret for secret in ACCESS.values() if secret in shown]
