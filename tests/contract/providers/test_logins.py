"""Credentials: one login for all, renewed once, and a refused one holds the lane."""

import asyncio

import pytest

from services.dispatcher.providers.adapter import Delivered, NotSent, Refused, Unknown
from tests.contract.providers import peers
from tests.contract.providers.kit import WITH_TOKEN, Kit
from tests.contract.providers.peers import Peer, until
from tests.contract.providers.sandboxes import Sandbox, sandbox
from tests.contract.providers.test_answers import paid_requests, reference_of_ours, send, told

with_token = pytest.mark.parametrize("kit", WITH_TOKEN, ids=lambda kit: kit.name)


async def test_wrong_credentials_hold_the_lane(kit: Kit, provider: Sandbox) -> None:
    adapter = kit.adapter(kit.at(provider.url), **kit.wrong)
    wanted = kit.sale()
    answer = await adapter.send(wanted, kit.attempt(wanted))
    await adapter.close()
    assert isinstance(answer, Refused)
    assert (answer.kind, answer.code) == ("hold", kit.hold)
    assert provider.book(wanted.topup_id)["asked"] == 0


async def test_an_order_that_is_not_authorized_holds_the_lane(kit: Kit, provider: Sandbox) -> None:
    """Where there is a token, only after a fresh one was not taken either."""
    provider.ask("POST", "/faults", {"unauthorized": 2 if kit.login else 1})
    adapter = kit.adapter(kit.at(provider.url))
    wanted = kit.sale()
    answer = await adapter.send(wanted, kit.attempt(wanted))
    await adapter.close()
    assert isinstance(answer, Refused)
    assert (answer.kind, answer.code) == ("hold", "http_401" if kit.login else kit.hold)
    assert provider.book(wanted.topup_id)["asked"] == 0


async def test_keys_that_are_refused_are_so_by_the_providers_own_code() -> None:
    """Somebody's 401 between us and DT One says nothing of what DT One did."""
    (kit,) = (kit for kit in peers_without_token() if kit.name == "DTONE")
    assert isinstance(await told(kit, ({}, 401)), Unknown)


def peers_without_token() -> list[Kit]:
    from tests.contract.providers.kit import KITS

    return [kit for kit in KITS if not kit.login]


@with_token
async def test_a_token_taken_no_longer_is_renewed_and_the_attempt_goes_on(
    kit: Kit, provider: Sandbox
) -> None:
    adapter = kit.adapter(kit.at(provider.url))
    first, wanted = kit.sale(), kit.sale()
    await adapter.send(first, kit.attempt(first))
    provider.ask("POST", "/faults", {"unauthorized": 1})
    attempt = kit.attempt(wanted)
    assert isinstance(await adapter.send(wanted, attempt), Delivered)
    await adapter.close()
    assert provider.book(wanted.topup_id)["paid"] == 1
    assert attempt.looked == 2, "the second write was asked for too"


@with_token
async def test_revoked_tokens_cost_no_topup(kit: Kit, provider: Sandbox) -> None:
    adapter = kit.adapter(kit.at(provider.url))
    first, wanted = kit.sale(), kit.sale()
    await adapter.send(first, kit.attempt(first))
    provider.ask("POST", "/faults", {"revoke_tokens": True})
    assert isinstance(await adapter.send(wanted, kit.attempt(wanted)), Delivered)
    await adapter.close()


@with_token
async def test_after_a_401_nothing_is_written_without_leave(kit: Kit) -> None:
    paid = peers.tells(*kit.paid(reference_of_ours(kit)))
    async with Peer(peers.tells(*kit.unauthorized), paid) as peer:
        answer, attempt = await send(kit, peer.url, True, False)
        assert isinstance(answer, NotSent)
        assert paid_requests(kit, peer) == 1
        assert (attempt.looked, attempt.sent) == (2, 1)


@with_token
async def test_a_lost_answer_after_a_401_is_unknown(kit: Kit) -> None:
    async with Peer(peers.tells(*kit.unauthorized), peers.cuts) as peer:
        answer, _ = await send(kit, peer.url)
        assert isinstance(answer, Unknown)
        assert paid_requests(kit, peer) == 2


@with_token
@pytest.mark.parametrize(
    "act",
    [
        pytest.param(peers.tells({"access": "", "access_token": ""}), id="empty"),
        pytest.param(
            peers.tells({"access": "a\r\nx: y", "access_token": "a\r\nx: y"}), id="two_lines"
        ),
        pytest.param(peers.tells({"access": 5, "access_token": 5}), id="number"),
        pytest.param(peers.tells({"token": "other"}), id="other_name"),
        pytest.param(peers.tells(b"\xff\xfe{"), id="rubbish"),
        pytest.param(peers.tells(b'{"access":"good","x":' + b"[" * 9_999), id="deep"),
        pytest.param(peers.tells({"access": "good", "access_token": "good"}, 302), id="redirect"),
        pytest.param(peers.tells({}, 503), id="status"),
        pytest.param(peers.cuts, id="cut"),
        pytest.param(peers.is_silent, id="silent"),
        pytest.param(peers.floods, id="flood"),
    ],
)
async def test_a_login_that_fails_means_not_sent(kit: Kit, act: peers.Act) -> None:
    async with Peer(logs_in=act) as peer:
        answer, attempt = await send(kit, peer.url, timeout_ms=300)
        assert isinstance(answer, NotSent)
        assert peer.paths() == [kit.login]
        assert attempt.looked == 0


@with_token
async def test_a_failing_login_is_tried_again_by_the_next_attempt(
    kit: Kit, provider: Sandbox
) -> None:
    provider.ask("POST", "/faults", {"failing_logins": 1})
    adapter = kit.adapter(kit.at(provider.url))
    wanted = kit.sale()
    first = await adapter.send(wanted, kit.attempt(wanted, 1))
    second = await adapter.send(wanted, kit.attempt(wanted, 2))
    await adapter.close()
    assert isinstance(first, NotSent)
    assert isinstance(second, Delivered)


@with_token
async def test_the_token_is_renewed_ahead_and_nobody_waits_for_it(kit: Kit) -> None:
    """At three quarters of what the provider says, or else of our own setting."""
    with sandbox(SANDBOX_TOKEN_LIFE="4m") as provider:
        clock = [1_000.0]
        adapter = kit.adapter(kit.at(provider.url), monotonic=lambda: clock[0])

        async def pays() -> bool:
            wanted = kit.sale()
            return isinstance(await adapter.send(wanted, kit.attempt(wanted)), Delivered)

        assert await pays()
        clock[0] += 179
        assert await pays()
        assert provider.book()["logins"] == 1
        clock[0] += 2
        assert await pays()
        await until(lambda: provider.book()["logins"] == 2)
        clock[0] += 241
        assert await pays()
        await adapter.close()
        assert provider.book()["logins"] == 3


@with_token
async def test_a_crowd_waits_for_one_login(kit: Kit) -> None:
    """Also where one of them gives up."""
    with sandbox() as provider:
        adapter = kit.adapter(kit.at(provider.url))
        crowd = [kit.sale() for _ in range(20)]
        other = kit.sale()
        given_up = asyncio.create_task(adapter.send(other, kit.attempt(other, 1, False)))
        staying = [asyncio.create_task(adapter.send(one, kit.attempt(one))) for one in crowd]
        await asyncio.sleep(0)
        given_up.cancel()
        answers = await asyncio.gather(*staying)
        await adapter.close()
        assert all(isinstance(answer, Delivered) for answer in answers)
        assert provider.book()["logins"] == 1
