"""From an error's code to an HTTP answer: one table, in our short form or as RFC 9457 asks."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

HeaderList = list[tuple[bytes, bytes]]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """How one code is answered, and what a client may conclude about its money."""

    status: int
    title: str
    retryable: bool = False
    charged: Literal["no", "unknown"] = "no"
    said_as: str | None = None  # the code that clients see, where it is another


_False = Annotated[bool, msgspec.Meta(extra_json_schema={"const": False})]
_TopupId = Annotated[str, msgspec.Meta(description="The topup that was accepted all the same.")]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why the request got nothing: the short form."""

    success: _False = False
    error: str
    topup_id: _TopupId | msgspec.UnsetType = msgspec.UNSET


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Why the request got nothing, as RFC 9457 writes it, for who asks for problem+json."""

    type: str
    title: str
    status: int
    detail: Annotated[str, msgspec.Meta(description="The text of the short form's `error`.")]
    code: Annotated[str, msgspec.Meta(description="The code of the header Error-Code.")]
    retryable: Annotated[
        bool,
        msgspec.Meta(
            description="A repeat with the same Idempotency-Key may succeed, and is safe."
        ),
    ]
    charged: Annotated[
        Literal["no", "unknown"],
        msgspec.Meta(description="unknown: only a repeat with the same Idempotency-Key can tell."),
    ]
    topup_id: _TopupId | msgspec.UnsetType = msgspec.UNSET


_UNAVAILABLE: Final = "Cannot be served right now"

PROBLEMS: Final[Mapping[str, Problem]] = {
    "invalid_json": Problem(status=400, title="Not JSON"),
    "invalid_request": Problem(status=400, title="Not understood"),
    "unauthorized": Problem(status=401, title="No or wrong key"),
    "forbidden": Problem(status=403, title="Not allowed with this key"),
    "not_found": Problem(status=404, title="Not found"),
    "method_not_allowed": Problem(status=405, title="Method not allowed"),
    "request_timeout": Problem(status=408, title="Too slow", retryable=True),
    "conflict": Problem(status=409, title="Somebody else was there first"),
    "too_large": Problem(status=413, title="Body too large"),
    "unsupported_media_type": Problem(status=415, title="Not application/json"),
    "invalid_phone": Problem(status=422, title="Not a phone that can be topped up"),
    "invalid_amount": Problem(status=422, title="Not an amount that is sold"),
    "unknown_provider": Problem(status=422, title="Provider not known"),
    "idempotency_mismatch": Problem(status=422, title="Key already used for another request"),
    "headers_too_large": Problem(status=431, title="Head too large"),
    "rate_limited": Problem(status=429, title="Too many requests", retryable=True),
    "unavailable": Problem(status=503, title=_UNAVAILABLE, retryable=True),
    "not_known": Problem(
        status=503, title=_UNAVAILABLE, retryable=True, charged="unknown", said_as="unavailable"
    ),
    "internal": Problem(status=500, title="Our mistake", retryable=True, charged="unknown"),
}
"""Retry what is retryable with the same Idempotency-Key: then it is safe whatever was charged."""

_QUOTA_TYPE: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_encoder: Final = msgspec.json.Encoder()


def said_code(code: str) -> str:
    """Return the code as clients see it in `Error-Code`."""
    return problem_of(code).said_as or code


def problem_of(code: str) -> Problem:
    """Return how the code is answered; an unknown one is our mistake."""
    return PROBLEMS.get(code, PROBLEMS["internal"])


def render(
    code: str, text: str, *, accept: str = "", members: Mapping[str, Any] | None = None
) -> tuple[int, HeaderList, bytes]:
    """Return status, headers and body; `members` stand beside the text in either form."""
    problem = problem_of(code)
    extra = members or {}
    if prefers_problem(accept):
        media = b"application/problem+json"
        body = _encoder.encode(
            ProblemDetails(
                type=_QUOTA_TYPE if problem.status == 429 else "about:blank",  # noqa: PLR2004 - HTTP
                title=problem.title,
                status=problem.status,
                detail=text,
                code=said_code(code),
                retryable=problem.retryable,
                charged=problem.charged,
                **extra,
            )
        )
    else:
        media = b"application/json"
        body = _encoder.encode(Refused(error=text, **extra))
    headers = [(b"content-type", media), (b"error-code", said_code(code).encode())]
    if problem.status == 503:  # noqa: PLR2004 - HTTP
        headers.append((b"retry-after", b"1"))
    return problem.status, headers, body


def prefers_problem(accept: str) -> bool:
    """Tell whether `application/problem+json` is named, and not behind `application/json`."""
    if "problem+json" not in accept:
        return False
    wanted: dict[str, float] = {}
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        wanted.setdefault(media, _quality(parameters))
    problem = wanted.get("application/problem+json", 0.0)
    plain = wanted.get("application/json", 0.0)
    if problem == plain:
        names = list(wanted)
        return problem > 0 and names.index("application/problem+json") < names.index(
            "application/json"
        )
    return problem > plain


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
