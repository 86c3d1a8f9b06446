"""What the calls of the operators' page are, in the words of the API's description."""

from typing import Annotated, Final

import msgspec

from services.gateway.calls import Answer, Call, Field
from services.gateway.merchant.replies import Instant, Success
from services.gateway.merchant.topup_calls import KEY_REFUSALS
from services.gateway.pages import HTML, IF_NONE_MATCH, described, shown
from services.gateway.sessions import CSRF_HEADER

_CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
POLICY: Final = {
    "content-security-policy": _CONTENT_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}
NO_STORE: Final = {"cache-control": "no-store"}
EVENT_HEADERS: Final = {**NO_STORE, "x-accel-buffering": "no"}
_OF_A_FILE: Final = described(
    POLICY,
    more=(
        Field(name="Content-Encoding", about="gzip, where you take it.", schema={"const": "gzip"}),
        Field(name="Vary", about="What else decides.", schema={"const": "accept-encoding"}),
    ),
)
_NOT_STORED: Final = Field(
    name="Cache-Control", about="Always so.", schema={"const": "no-store"}, required=True
)
_COOKIE: Final = Field(
    name="Set-Cookie", about="The session: HttpOnly, SameSite=Strict; over https Secure too."
)
TAG: Final = "Operators' page"


class SignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key of an operator, or ADMIN_KEY."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who you are, and what each of your acts has to say."""

    success: Success = True
    who: str
    ends_at: Instant
    csrf: Annotated[str, msgspec.Meta(description=f"The header {CSRF_HEADER} of each POST.")]
    resolve_alone: Annotated[
        bool, msgspec.Meta(description="Whether who proposed may confirm too.")
    ]


class SignedOut(msgspec.Struct, frozen=True, kw_only=True):
    """The cookie is gone."""

    success: Success = True


PAGE: Final = Call(
    name="page",
    method="GET",
    path="/admin",
    tag=TAG,
    about="The operators' page",
    headers=(IF_NONE_MATCH,),
    answers=shown(
        Answer(about="The page", body={"type": "string"}, media=HTML, headers=_OF_A_FILE)
    ),
    refusals=("not_found",),
)
PAGE_FILE: Final = Call(
    name="page_file",
    method="GET",
    path="/admin/{file}",
    tag=TAG,
    about="What the operators' page is made of",
    places=(
        Field(
            name="file",
            about="One of its files.",
            schema={"type": "string", "pattern": "^[^/]+$"},
            example="app.js",
            required=True,
        ),
    ),
    headers=(IF_NONE_MATCH,),
    answers=shown(Answer(about="A file", body={"type": "string"}, media="*/*", headers=_OF_A_FILE)),
    refusals=("not_found",),
)
SIGN_IN: Final = Call(
    name="sign_in",
    method="POST",
    path="/api/admin/sign-in",
    tag=TAG,
    about="Get a cookie for a key",
    detail="For browsers: for an hour the cookie stands for the key, for as long as that works. "
    "Acts must then say the `csrf` of the answer. Programs send the key itself.",
    body=SignIn,
    answers={
        200: Answer(about="You are in", body=SignedIn, headers=(_COOKIE, _NOT_STORED)),
    },
    refusals=(*KEY_REFUSALS, "not_found", "invalid_json", "unsupported_media_type"),
)
SIGN_OUT: Final = Call(
    name="sign_out",
    method="POST",
    path="/api/admin/sign-out",
    tag=TAG,
    about="Forget the cookie",
    answers={200: Answer(about="It is gone", body=SignedOut, headers=(_COOKIE, _NOT_STORED))},
    refusals=("forbidden", "not_found"),
)
SESSION: Final = Call(
    name="session",
    method="GET",
    path="/api/admin/session",
    tag=TAG,
    about="Who the cookie is of",
    answers={200: Answer(about="You", body=SignedIn, headers=(_NOT_STORED,))},
    refusals=(*KEY_REFUSALS, "not_found"),
)
EVENTS: Final = Call(
    name="events",
    method="GET",
    path="/api/admin/events",
    tag="Admin",
    about="The live picture, as server-sent events",
    detail="First `past` (a list of the last minutes' points), then a `frame` each second: where "
    "topups are, rates, shares and durations of the last minute, replicas, money in limbo, the "
    "newest ends. Each frame is whole; who is slow gets fewer. `over` ends it: sign in again.",
    key="admin",
    answers={
        200: Answer(
            about="Events until you leave, or may not see them any more",
            body={"type": "string"},
            media="text/event-stream",
            headers=(
                _NOT_STORED,
                Field(name="X-Accel-Buffering", about="For proxies.", schema={"const": "no"}),
            ),
        )
    },
    refusals=KEY_REFUSALS,
)
