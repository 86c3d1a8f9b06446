"""What each provider's answer means for the money, and what is made of one that never comes."""

from typing import Any

import msgspec
import pytest

from ops.ports import free_port
from services.dispatcher.providers.adapter import Answer, Delivered, NotSent, Refused, Unknown
from tests.contract.providers import peers
from tests.contract.providers.kit import KITS, Kit, Said
from tests.contract.providers.peers import Peer
from tests.contract.providers.sales import Attempt
from tests.contract.providers.sandboxes import Sandbox

OURS = "topup-of-ours"
OUT_MAX = 16_000_000
"""What the kernel's buffers may take of a flood; far from all of it."""


async def send(kit: Kit, url: str, *rights: bool, **fields: Any) -> tuple[Answer, Attempt]:
    """Make the first attempt for our topup with an adapter of its own."""
    adapter = kit.adapter(url, timeout_ms=fields.pop("timeout_ms", 1_000))
    wanted = kit.sale(topup_id=OURS, **fields)
    attempt = kit.attempt(wanted, 1, *rights)
    try:
        answer = await adapter.send(wanted, attempt)
    finally:
        await adapter.close()
    return answer, attempt


async def told(kit: Kit, said: Said) -> Answer:
    """Return what the adapter makes of this answer, to exactly one paying request."""
    async with Peer(peers.tells(*said)) as peer:
        answer, attempt = await send(kit, peer.url)
        assert paid_requests(kit, peer) == 1
        assert (attempt.looked, attempt.sent) == (1, 1)
    return answer


def paid_requests(kit: Kit, peer: Peer) -> int:
    """Return how many paying requests arrived."""
    return peer.paths().count(kit.paying)


def reference_of_ours(kit: Kit) -> str:
    return kit.reference(kit.sale(topup_id=OURS))


def cases(field: str) -> list[Any]:
    """Return each provider with each of its answers of this sort."""
    return [
        pytest.param(kit, said, id=f"{kit.name}-{name}")
        for kit in KITS
        for name, said in getattr(kit, field).items()
    ]


async def test_a_payment_that_names_our_reference_is_delivered(kit: Kit) -> None:
    answer = await told(kit, kit.paid(reference_of_ours(kit)))
    assert isinstance(answer, Delivered)
    assert answer.provider_reference == "77"


@pytest.mark.parametrize(("kit", "case"), cases("refusals"))
async def test_a_definite_no_is_refused_in_the_providers_own_words(kit: Kit, case: Any) -> None:
    said, kind, code = case
    answer = await told(kit, said(reference_of_ours(kit)))
    assert isinstance(answer, Refused)
    assert (answer.kind, answer.code) == (kind, code)


@pytest.mark.parametrize(("kit", "said"), cases("doubts"))
async def test_what_does_not_exclude_a_payment_is_unknown(kit: Kit, said: Any) -> None:
    assert isinstance(await told(kit, said(reference_of_ours(kit))), Unknown)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>", id="html"),
        pytest.param(b"\xff\xfe", id="rubbish"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[" * 9_999, id="deep"),
        pytest.param(b'{"a":' + b"[" * 9_999, id="deep_inside"),
    ],
)
@pytest.mark.parametrize("status", [200, 201, 400, 404, 500])
async def test_what_is_no_answer_is_unknown(kit: Kit, body: bytes, status: int) -> None:
    assert isinstance(await told(kit, (body, status)), Unknown)


async def test_half_an_answer_is_none(kit: Kit) -> None:
    body, status = kit.paid(reference_of_ours(kit))
    assert isinstance(await told(kit, (msgspec.json.encode(body)[:-1], status)), Unknown)


@pytest.mark.parametrize(
    "status", [203, 204, 301, 302, 307, 308, 400, 403, 404, 409, 429, 500, 502, 503, 504]
)
async def test_no_status_makes_a_payment_of_an_answer(kit: Kit, status: int) -> None:
    """It is by the provider's own words that an answer counts, and only where they belong."""
    body, _ = kit.paid(reference_of_ours(kit))
    assert isinstance(await told(kit, (body, status)), Unknown)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(kit: Kit, status: int) -> None:
    act = peers.tells({}, status, extra=b"location: /elsewhere\r\n")
    async with Peer(act) as peer:
        answer, _ = await send(kit, peer.url)
        assert isinstance(answer, Unknown)
        assert "/elsewhere" not in peer.paths()
        assert paid_requests(kit, peer) == 1


@pytest.mark.parametrize(
    "act",
    [
        peers.cuts,
        peers.resets,
        peers.is_silent,
        peers.floods,
        peers.floods_headers,
        peers.dribbles,
        peers.stalls_with_100,
        pytest.param(peers.says(b"SSH-2.0-something\r\n"), id="protocol"),
        pytest.param(
            peers.says(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"), id="short"
        ),
    ],
)
async def test_a_lost_answer_is_unknown_within_bounds_and_never_sent_again(
    kit: Kit, act: peers.Act
) -> None:
    async with Peer(act) as peer:
        answer, attempt = await send(kit, peer.url, timeout_ms=300)
        assert isinstance(answer, Unknown)
        assert paid_requests(kit, peer) == 1
        assert (attempt.looked, attempt.sent) == (1, 1)
        assert peer.bytes_out < OUT_MAX


async def test_nobody_there_means_not_sent(kit: Kit) -> None:
    answer, attempt = await send(kit, f"http://127.0.0.1:{free_port()}")
    assert isinstance(answer, NotSent)
    assert attempt.looked == 0


async def test_a_withheld_attempt_asks_for_nothing(kit: Kit) -> None:
    async with Peer(peers.tells({})) as peer:
        answer, attempt = await send(kit, peer.url, False)
        assert isinstance(answer, NotSent)
        assert paid_requests(kit, peer) == 0
        assert (attempt.looked, attempt.sent) == (1, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"product": "nothing"},
        {"currency": "USD"},
        {"country": "US", "phone": "+15512345123"},
        {"amount_minor": 1_050},
        {"amount_minor": 200_100},
    ],
)
async def test_what_cannot_be_told_to_the_provider_is_refused_here(
    kit: Kit, fields: dict[str, Any], provider: Sandbox
) -> None:
    adapter = kit.adapter(kit.at(provider.url))
    wanted = kit.sale(**fields)
    attempt = kit.attempt(wanted)
    answer = await adapter.send(wanted, attempt)
    await adapter.close()
    assert isinstance(answer, Refused)
    assert (answer.kind, answer.code, attempt.looked) == ("final", "not_sold", 0)


@pytest.mark.parametrize("words", ["no\x00", "\\u0000", "T\x001"])
async def test_nothing_is_kept_that_the_ledger_could_not_store(kit: Kit, words: str) -> None:
    """PostgreSQL has no NUL, in text or in JSON: a topup must not be unbookable for it."""
    for said in (kit.words(reference_of_ours(kit), words), ({"what": words}, 200)):
        kept = msgspec.json.encode(await told(kit, said)).decode()
        assert "\\u0000" not in kept.replace("\\\\", "\\")
