"""Who has signed in with a browser: a cookie that no server keeps, and that dies with its key.

The cookie names the person, until when, and the very key that it was given for, all of it signed
with SESSION_KEY. A revoked or rotated key ends it on every gateway as soon as the key itself.
"""

import secrets
from hashlib import sha256
from hmac import compare_digest
from typing import Final
from urllib.parse import urlsplit

import msgspec
from itsdangerous import BadSignature, Signer, URLSafeSerializer
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.refusals import Forbidden, Unauthorized
from shared.runtime.clock import Clock

SESSION_S: Final = 3_600
CSRF_HEADER: Final = "x-csrf-token"
_SAFE: Final = frozenset({"GET", "HEAD"})
_NAME: Final = "topup_admin"
_HOST_NAME: Final = f"__Host-{_NAME}"
"""Over https: no other host of the domain can set a cookie of this name."""
_TOKEN_CHARACTERS_MAX: Final = 1_024


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What a cookie says; `key` tells which key it is for, and nothing of the key."""

    who: str
    key: str
    ends_ms: int
    nonce: str


class Sessions:
    """Gives cookies and reads them; all gateways with one SESSION_KEY read each other's."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._clock = clock
        self._cookies = URLSafeSerializer(
            secret, salt="topup.session", signer_kwargs={"digest_method": sha256}
        )
        self._keys = Signer(secret, salt="topup.session.key", digest_method=sha256)
        self._forms = Signer(secret, salt="topup.session.csrf", digest_method=sha256)

    def begin(self, who: str, key_sha256: str) -> Session:
        """Return a new session; whatever cookie came along is of no account."""
        return Session(
            who=who,
            key=self._named(key_sha256),
            ends_ms=self._clock.now_ms() + SESSION_S * 1_000,
            nonce=secrets.token_urlsafe(16),
        )

    def give(self, session: Session, request: Request, response: Response) -> None:
        """Put the cookie into the answer to who asked for it."""
        secure = _over_https(request)
        response.set_cookie(
            _HOST_NAME if secure else _NAME,
            str(self._cookies.dumps(msgspec.to_builtins(session))),
            max_age=SESSION_S,
            path="/",
            secure=secure,
            httponly=True,
            samesite="strict",
        )

    def end(self, response: Response) -> None:
        """Have the browser forget it."""
        for name, secure in ((_NAME, False), (_HOST_NAME, True)):
            response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="strict")

    def read(self, request: Request) -> Session:
        """Return the session of who asks, if it stands.

        Raises:
            Unauthorized: there is none, or it has ended.
            Forbidden: what changes something does not come from our own page.
        """
        token = request.cookies.get(_HOST_NAME) or request.cookies.get(_NAME) or ""
        session = self._verified(token)
        if session is None or session.ends_ms <= self._clock.now_ms():
            raise Unauthorized("You are not signed in, or no longer; sign in at /admin")
        if request.method not in _SAFE:
            check_origin(request)
            if not compare_digest(
                request.headers.get(CSRF_HEADER, "").encode(), self.csrf(session).encode()
            ):
                raise Forbidden(f"The header {CSRF_HEADER} is missing or of another session")
        return session

    def csrf(self, session: Session) -> str:
        """Return what our own page says with each act, and no other page can know."""
        return self._forms.get_signature(session.nonce).decode()

    def is_for(self, session: Session, key_sha256: str) -> bool:
        """Tell whether it was given for this key."""
        return compare_digest(session.key, self._named(key_sha256))

    def _named(self, key_sha256: str) -> str:
        return self._keys.get_signature(key_sha256).decode()

    def _verified(self, token: str) -> Session | None:
        if not token or len(token) > _TOKEN_CHARACTERS_MAX:
            return None
        try:
            return msgspec.convert(self._cookies.loads(token), Session)
        except (BadSignature, msgspec.ValidationError):
            return None


def is_signed_in(request: Request) -> bool:
    """Tell whether a cookie of ours came along, whatever it is worth."""
    return _HOST_NAME in request.cookies or _NAME in request.cookies


def check_origin(request: Request) -> None:
    """Refuse what another site's page sends; raises Forbidden."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        ours = site == "same-origin"
    else:  # an older browser, or plain http: then it says where the page is from
        ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not ours:
        raise Forbidden("This was sent by a page of another site")


def _over_https(request: Request) -> bool:
    """Tell by what the browser itself says, since a proxy may have ended TLS before us."""
    return request.headers.get("origin", "").startswith("https://")
