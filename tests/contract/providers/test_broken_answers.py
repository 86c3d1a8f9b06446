"""Whatever a provider writes instead of an answer, the topup is in doubt and nothing breaks."""

import pytest

from services.dispatcher.providers.adapter import Delivered, NotSent, Refused, Unknown
from tests.contract.providers import peers
from tests.contract.providers.kit import LATCOM
from tests.contract.providers.peers import Peer
from tests.contract.providers.sales import Attempt, sale
from tests.fuzz.budget import EACH_S, SEED
from tests.fuzz.mutation import mutants, within

pytestmark = pytest.mark.fuzz

OURS = "topup-of-ours"
PAYING = "/api/tn/fast"
SOLD = b'{"status":"SUCCESS","transId":"77","distTransid":"topup-of-ours"}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
PAID = [
    HEAD + b"content-length: %d\r\n\r\n%b" % (len(SOLD), SOLD),
    HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(SOLD), SOLD),
    b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"connection: close\r\n\r\n" + SOLD,
    b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
]
TOKEN = b'{"access":"token-of-the-peer"}'
LOGGED_IN = [HEAD + b"content-length: %d\r\n\r\n%b" % (len(TOKEN), TOKEN)]


async def test_broken_answers_are_doubt() -> None:
    """Delivered only where the whole answer names our reference; never NotSent, once it was."""
    async with Peer() as peer:
        adapter = LATCOM.adapter(peer.url, timeout_ms=2_000)
        for data in within(EACH_S, mutants(PAID, name="answers")):
            peer.acts = [peers.says(data)]
            before = peer.paths().count(PAYING)
            answer = await adapter.send(sale(topup_id=OURS), Attempt(OURS))
            told = f"seed {SEED}: {answer} to {data[:2_000]!r}"
            if peer.paths().count(PAYING) == before:  # it closed a kept connection, just now
                assert isinstance(answer, NotSent), told
                continue
            assert isinstance(answer, Delivered | Refused | Unknown) or b"401" in data, told
            assert isinstance(answer, Unknown) or OURS.encode() in data or b"401" in data, told
        await adapter.close()
    assert set(peer.paths()) <= {"/api/dislogin", PAYING}, "no redirect is followed"


async def test_broken_logins_send_nothing() -> None:
    """The answer to a login moves no money, whatever it is; half of one is no token."""
    for data in within(EACH_S, mutants(LOGGED_IN, name="logins")):
        async with Peer(peers.tells({"status": "?"}), logs_in=peers.says(data)) as peer:
            adapter = LATCOM.adapter(peer.url, timeout_ms=2_000)
            try:
                answer = await adapter.send(sale(topup_id=OURS), Attempt(OURS))
            finally:
                await adapter.close()
        told = f"seed {SEED}: {answer} to {data[:2_000]!r}"
        assert isinstance(answer, NotSent | Refused | Unknown), told
        paid = PAYING in peer.paths()
        assert isinstance(answer, Unknown) == paid, told
