"""Whatever a provider writes instead of an answer, the topup is in doubt and nothing breaks."""

import msgspec
import pytest

from services.dispatcher.providers.adapter import Delivered, NotSent, Refused, Unknown
from tests.contract.providers import peers
from tests.contract.providers.kit import WITH_TOKEN, Kit
from tests.contract.providers.peers import FIRST, Peer
from tests.fuzz.budget import EACH_S, SEED
from tests.fuzz.mutation import mutants, within

pytestmark = pytest.mark.fuzz

OURS = "topup-of-ours"
HEAD = b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\n"


def paid(kit: Kit) -> list[bytes]:
    """Return a payment as the provider may write it, and a redirect."""
    said, status = kit.paid(kit.reference(kit.sale(topup_id=OURS)))
    body, head = msgspec.json.encode(said), HEAD % status
    return [
        head + b"content-length: %d\r\n\r\n%b" % (len(body), body),
        head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        b"HTTP/1.1 100 Continue\r\n\r\n" + head + b"connection: close\r\n\r\n" + body,
        b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
    ]


async def test_broken_answers_are_doubt(kit: Kit) -> None:
    """Delivered only where the whole answer names our reference; never NotSent, once it was."""
    async with Peer() as peer:
        adapter = kit.adapter(peer.url, timeout_ms=2_000)
        wanted = kit.sale(topup_id=OURS)
        for data in within(EACH_S, mutants(paid(kit), name=f"answers of {kit.name}")):
            peer.acts = [peers.says(data)]
            before = peer.paths().count(kit.paying)
            answer = await adapter.send(wanted, kit.attempt(wanted))
            told = f"seed {SEED}: {answer} to {data[:2_000]!r}"
            if peer.paths().count(kit.paying) == before:  # it closed a kept connection, just now
                assert isinstance(answer, NotSent), told
                continue
            assert isinstance(answer, Delivered | Refused | Unknown) or b"401" in data, told
            assert isinstance(answer, Unknown) or OURS.encode() in data or b"401" in data, told
        await adapter.close()
    known = (kit.paying, *kit.free)
    assert all(path.startswith(known) for path in peer.paths()), "no redirect is followed"


@pytest.mark.parametrize("kit", WITH_TOKEN, ids=lambda kit: kit.name)
async def test_broken_logins_send_nothing(kit: Kit) -> None:
    """The answer to a login moves no money, whatever it is; half of one is no token."""
    token = msgspec.json.encode(FIRST[kit.login])
    logged_in = [HEAD % 200 + b"content-length: %d\r\n\r\n%b" % (len(token), token)]
    wanted = kit.sale(topup_id=OURS)
    for data in within(EACH_S, mutants(logged_in, name=f"logins of {kit.name}")):
        async with Peer(peers.tells({"status": "?"}), logs_in=peers.says(data)) as peer:
            adapter = kit.adapter(peer.url, timeout_ms=2_000)
            try:
                answer = await adapter.send(wanted, kit.attempt(wanted))
            finally:
                await adapter.close()
        told = f"seed {SEED}: {answer} to {data[:2_000]!r}"
        assert isinstance(answer, NotSent | Refused | Unknown), told
        assert isinstance(answer, Unknown) == (kit.paying in peer.paths()), told
