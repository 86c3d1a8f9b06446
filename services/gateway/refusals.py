"""What the gateway refuses besides wrong content; `shared.web.problems` says how it is answered."""

from collections.abc import Mapping

from shared.contracts.errors import TopupError


class Refusal(TopupError):
    """The request gets no topup; answer with the text, the headers and the members."""

    def __init__(
        self,
        text: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.headers = headers or {}
        self.members = members or {}


class Misunderstood(Refusal):
    """JSON, or words of an address, but not what we ask for."""

    code = "invalid_request"


class InvalidJson(Refusal):
    """The body is not JSON."""

    code = "invalid_json"


class Unauthorized(Refusal):
    """No key, or one that does not work; the text never says which."""

    code = "unauthorized"


class Forbidden(Refusal):
    """A working key, but not for this customer, merchant or call."""

    code = "forbidden"


class NotFound(Refusal):
    """Nothing is here for this customer."""

    code = "not_found"


class MethodNotAllowed(Refusal):
    """The path exists, the method does not."""

    code = "method_not_allowed"


class Conflict(Refusal):
    """Somebody else was there first; the text says who, when and why, and nothing was done."""

    code = "conflict"


class TooLarge(Refusal):
    """The body was cut off."""

    code = "too_large"


class UnsupportedMediaType(Refusal):
    """The body does not say that it is JSON."""

    code = "unsupported_media_type"


class IdempotencyMismatch(Refusal):
    """The key belongs to another request."""

    code = "idempotency_mismatch"


class RateLimited(Refusal):
    """The customer's window is full."""

    code = "rate_limited"


class Unavailable(Refusal):
    """Surely nothing was accepted, and it may be tried again."""

    code = "unavailable"


class MaybeAccepted(Refusal):
    """No answer came from the streams: only a repeat with the same key can tell."""

    code = "not_known"
