"""What gateways may ask the ratelimiter, and who gets which verdict."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ratelimiter.rules import read_request, split
from services.ratelimiter.settings import RatelimiterSettings
from shared.contracts.errors import InvalidRequest, InvalidSettings
from shared.contracts.limits import BATCH_MAX
from shared.contracts.peers import LimitCheck, LimitRequest, LimitVerdict
from shared.runtime.settings import load


def test_a_batch_is_read_as_it_was_sent() -> None:
    """What the gateway encodes is what the ratelimiter decodes."""
    request = LimitRequest("gateway-1", [LimitCheck("A", 200), LimitCheck("B", 0)])
    assert read_request(msgspec.json.encode(request)) == request


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b'{"gateway": 1, "checks": []}', b"\xff", b"[" * 9_999]
)
def test_something_else_is_refused(raw: bytes) -> None:
    """Nonsense never reaches the windows."""
    with pytest.raises(InvalidRequest):
        read_request(raw)


def test_a_batch_has_a_bound() -> None:
    """Nobody blocks the windows with one endless batch."""
    checks = [LimitCheck("A", 1)] * (BATCH_MAX + 1)
    with pytest.raises(InvalidRequest, match="at most 256"):
        read_request(msgspec.json.encode(LimitRequest("g", checks)))


@given(st.lists(st.integers(min_value=0, max_value=5), max_size=8))
def test_each_request_gets_its_own_verdicts(sizes: list[int]) -> None:
    """Verdicts keep their order, and none is given twice."""
    requests = [LimitRequest(f"g{i}", [LimitCheck("A", 1)] * n) for i, n in enumerate(sizes)]
    verdicts = [LimitVerdict(True, place, 0) for place in range(sum(sizes))]
    replies = split(requests, verdicts, 3)
    assert [len(reply.verdicts) for reply in replies] == sizes
    assert [verdict for reply in replies for verdict in reply.verdicts] == verdicts
    assert all(reply.gateways == 3 for reply in replies)


def test_the_volatile_redis_is_preferred() -> None:
    """LIMITER_REDIS_URL is used where it is given, else REDIS_URL; one of them must be."""
    ports = {"PORT": "8090", "INSTANCE_PORT": "8091"}
    durable, volatile = {"REDIS_URL": "redis://a"}, {"LIMITER_REDIS_URL": "redis://b"}
    assert load(RatelimiterSettings, ports | durable).windows_url == "redis://a"
    assert load(RatelimiterSettings, ports | durable | volatile).windows_url == "redis://b"
    with pytest.raises(InvalidSettings, match="LIMITER_REDIS_URL is missing"):
        load(RatelimiterSettings, ports)
    cluster = {"REDIS_URL": "redis+cluster://a:1,b:2"}
    with pytest.raises(InvalidSettings, match=r"REDIS_URL is a cluster: .* server of their own"):
        load(RatelimiterSettings, ports | cluster)
