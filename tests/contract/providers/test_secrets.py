"""Nothing secret leaves: not in evidence, not in a log, not in what prints an object."""

import logging

import pytest

from tests.contract.providers import peers
from tests.contract.providers.kit import Kit
from tests.contract.providers.peers import TOKEN, Peer
from tests.contract.providers.test_answers import OURS, reference_of_ours, send


async def test_evidence_shows_no_secret_and_no_whole_phone(
    kit: Kit, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    wanted = kit.sale(topup_id=OURS)
    national = wanted.phone[3:]
    spaced = f"{national[:2]} {national[2:6]}-{national[6:]}"
    hidden = [*kit.secret, "eyJhbGciOi.eyJzdWIi.c2ln", national, spaced]
    if kit.login:
        hidden.append(TOKEN)
    words = f"{' | '.join(hidden)} +52{national} 52{national} Bearer abc.def" + "x" * 50_000
    ours = reference_of_ours(kit)
    for said in (
        kit.words(ours, words),
        ({"ours": ours, "what": words}, 200),
        ({ours: words}, 500),
    ):
        async with Peer(peers.tells(*said)) as peer:
            answer, _ = await send(kit, peer.url)
        shown = repr(answer)
        assert not [secret for secret in hidden if secret in shown]
        assert "abc.def" not in shown
        assert national[2:8] not in shown.replace(" ", "").replace("-", "")
        assert ours in shown, "our own reference stays readable"
        assert len(shown) < 3_000
    logged = caplog.text + "".join(capfd.readouterr())
    assert not [secret for secret in hidden if secret in logged]


async def test_settings_and_adapter_print_no_secret(kit: Kit) -> None:
    adapter = kit.adapter("http://127.0.0.1:9")
    settings = kit.settings("http://127.0.0.1:9")
    shown = f"{settings!r} {settings} {adapter!r} {adapter.facts!r}"
    assert not [secret for secret in kit.secret if secret in shown]
