"""A ratelimiter that misbehaves: asked once more where that is safe, else done without."""

from collections.abc import AsyncIterator

import pytest

from ops.ports import free_port
from services.gateway import ratelimiter
from services.gateway.peers import PeerSilent
from services.gateway.ratelimiter import Ratelimiter
from shared.contracts.peers import LimitCheck, LimitReply, LimitRequest, LimitVerdict
from tests.contract.providers import peers
from tests.contract.providers.peers import Act, Peer

pytestmark = pytest.mark.integration

ASKED = LimitRequest("gateway-1", [LimitCheck("A", 200)])
FREE = LimitReply([LimitVerdict(True, 199, 60_000)], 3)
YES = peers.tells(FREE)


class Hop:
    """A ratelimiter that does as it is told, and how a gateway asks it."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.client = Ratelimiter(peer.url)

    async def ask(self, *acts: Act) -> LimitReply:
        """Ask once; the ratelimiter does these acts, then answers as it should."""
        self.peer.acts = [*acts, YES]
        return await self.client.check(ASKED)


@pytest.fixture
async def hop() -> AsyncIterator[Hop]:
    """Closed at the end."""
    async with Peer(YES) as peer:
        hop = Hop(peer)
        yield hop
        await hop.client.close()


async def test_all_checks_go_over_one_connection(hop: Hop) -> None:
    assert [await hop.ask() for _ in range(3)] == [FREE] * 3
    assert len(hop.peer.connections) == 1
    assert hop.peer.requests[0].path == "/check"


@pytest.mark.parametrize("end", [peers.cuts, peers.resets])
async def test_a_kept_connection_that_ends_is_asked_again_on_another_one(
    hop: Hop, end: Act
) -> None:
    """A ratelimiter that was replaced is not missed."""
    await hop.ask()
    assert await hop.ask(end) == FREE
    assert len(hop.peer.connections) == 2


@pytest.mark.parametrize("end", [peers.cuts, peers.resets])
async def test_a_new_connection_that_ends_is_not_asked_again(hop: Hop, end: Act) -> None:
    """One that takes requests and answers none must not be asked without end."""
    with pytest.raises(PeerSilent, match="/check"):
        await hop.ask(end)
    assert len(hop.peer.requests) == 1


ANSWERS = {
    "an error": peers.tells(FREE, 503),
    "a redirect": peers.tells(b"", 302, extra=b"location: /elsewhere\r\n"),
    "no JSON": peers.tells(b"yes"),
    "no text": peers.tells(b'{"verdicts":[],"gateways":"\xff"}'),
    "a verdict too few": peers.tells(LimitReply([], 3)),
    "half an answer": peers.says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"),
    "no HTTP": peers.says(b"220 mail\r\n"),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_what_is_no_verdict_is_none(hop: Hop, answer: str) -> None:
    """The gateway does without; the next check goes on."""
    with pytest.raises(PeerSilent, match="/check"):
        await hop.ask(ANSWERS[answer])
    assert await hop.ask() == FREE


async def test_a_late_answer_is_nobodys(hop: Hop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next check does not take it for its own."""
    await hop.ask()
    monkeypatch.setattr(ratelimiter, "LIMIT_S_MAX", 0.05)
    with pytest.raises(PeerSilent, match="TimeoutError"):
        await hop.ask(peers.is_silent)
    assert await hop.ask() == FREE
    assert len(hop.peer.connections) == 2


async def test_nobody_there_is_silence() -> None:
    with pytest.raises(PeerSilent, match="/check"):
        await Ratelimiter(f"http://127.0.0.1:{free_port()}").check(ASKED)
