"""`POST /check` for gateways: what arrives while a batch is under way goes in the next one."""

from collections.abc import Sequence

import msgspec
import structlog
from redis.exceptions import RedisError
from starlette.types import Receive, Scope, Send

from services.ratelimiter import metrics
from services.ratelimiter.rules import BODY_BYTES_MAX, REQUESTS_MAX, read_request
from services.ratelimiter.store import Windows
from shared.contracts.errors import InvalidRequest, NotKnown, Overloaded
from shared.contracts.peers import LIMIT_PATH, LimitReply, LimitRequest
from shared.runtime.batching import Batcher
from shared.runtime.clock import Clock
from shared.web.guard import BodyTooLarge, ClientGone, read_body
from shared.web.problems import HeaderList, render

log = structlog.get_logger()


class CheckApp:
    """The ASGI app of the ratelimiter's port."""

    def __init__(self, windows: Windows, clock: Clock) -> None:
        self._windows = windows
        self._clock = clock
        self._take: Batcher[LimitRequest, LimitReply] = Batcher(self._run, size_max=REQUESTS_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        try:
            status, headers, body = await self._answer(scope, receive)
        except ClientGone:
            return
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, HeaderList, bytes]:
        if scope["path"] != LIMIT_PATH:
            return render("not_found", f"There is only POST {LIMIT_PATH}")
        if scope["method"] != "POST":
            return render("method_not_allowed", f"{LIMIT_PATH} takes POST only")
        try:
            request = read_request(await read_body(receive, None, bytes_max=BODY_BYTES_MAX))
            reply = await self._take(request)
        except BodyTooLarge:
            return render("too_large", f"The body is larger than {BODY_BYTES_MAX} bytes")
        except InvalidRequest as error:
            return render(error.code, str(error))
        except (RedisError, OSError, Overloaded, NotKnown) as error:
            log.warning("check_failed", problem=str(error) or type(error).__name__)
            return render("unavailable", "The windows cannot be reached; ask again")
        return 200, [(b"content-type", b"application/json")], msgspec.json.encode(reply)

    async def _run(self, requests: Sequence[LimitRequest]) -> list[LimitReply]:
        started = self._clock.monotonic()
        replies = await self._windows.take(requests)
        metrics.TAKE_SECONDS.observe(self._clock.monotonic() - started)
        verdicts = [verdict for reply in replies for verdict in reply.verdicts]
        allowed = sum(verdict.allowed for verdict in verdicts)
        metrics.BATCH_CHECKS.observe(len(verdicts))
        metrics.ALLOWED.inc(allowed)
        metrics.REFUSED.inc(len(verdicts) - allowed)
        metrics.GATEWAYS.set(replies[0].gateways)
        return replies
