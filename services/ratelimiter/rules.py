"""What a gateway may ask at once, and how several gateways' checks become one batch."""

from collections.abc import Sequence
from typing import Final

import msgspec

from shared.contracts.errors import InvalidRequest
from shared.contracts.limits import BATCH_MAX
from shared.contracts.peers import LimitReply, LimitRequest, LimitVerdict

REQUESTS_MAX: Final = 16
CHECKS_MAX: Final = REQUESTS_MAX * BATCH_MAX
BODY_BYTES_MAX: Final = BATCH_MAX * 512
WINDOW_MS: Final = 60_000
GATEWAY_SILENT_MS: Final = 10_000

_requests: Final = msgspec.json.Decoder(LimitRequest)


def read_request(raw: bytes) -> LimitRequest:
    """Return what a gateway asks.

    Raises:
        InvalidRequest: not a LimitRequest, or more checks than fit a batch.
    """
    try:
        request = _requests.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise InvalidRequest(f"not a batch of checks: {problem}") from None
    if len(request.checks) > BATCH_MAX:
        raise InvalidRequest(f"{len(request.checks)} checks; at most {BATCH_MAX} go in one batch")
    return request


def split(
    requests: Sequence[LimitRequest], verdicts: Sequence[LimitVerdict], gateways: int
) -> list[LimitReply]:
    """Give each request its own verdicts out of the batch's, in order."""
    replies, start = [], 0
    for request in requests:
        end = start + len(request.checks)
        replies.append(LimitReply(list(verdicts[start:end]), gateways))
        start = end
    assert start == len(verdicts), "a verdict for each check"
    return replies
