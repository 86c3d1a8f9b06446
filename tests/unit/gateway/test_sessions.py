"""A session is one person's, for one key, for one hour, and from our own page."""

from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.refusals import Forbidden, Unauthorized
from services.gateway.sessions import CSRF_HEADER, SESSION_S, Session, Sessions, is_signed_in
from shared.contracts.keys import hash_of

SECRET = "s" * 32
KEY = hash_of("operator_of_ana")
HTTP, HTTPS = "http://topup.test:8080", "https://topup.test:8080"


class Now:
    """A clock that stands."""

    ms = 1_795_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1_000


def asked(method: str = "GET", cookie: str = "", **headers: str) -> Request:
    said = {"host": "topup.test:8080", "cookie": cookie}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in said.items() if value]
    return Request({"type": "http", "method": method, "headers": raw, "path": "/"})


def signed_in(sessions: Sessions, origin: str = HTTP) -> tuple[Session, str, Mapping[str, Any]]:
    """Return the session, what the browser sends from now on, and how it was told to keep it."""
    session, response = sessions.begin("ana", KEY), Response()
    sessions.give(session, asked("POST", origin=origin), response)
    ((name, morsel),) = SimpleCookie(response.headers["set-cookie"]).items()
    return session, f"{name}={morsel.value}", morsel


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def sessions(now: Now) -> Sessions:
    return Sessions(SECRET, now)


def test_the_cookie_is_for_the_server_and_this_site_alone(sessions: Sessions) -> None:
    """No script reads it, no other site's page sends it, and it ends with the session."""
    _, cookie, kept = signed_in(sessions)
    assert cookie.startswith("topup_admin=")
    assert kept["httponly"] is True
    assert kept["samesite"] == "strict"
    assert (kept["path"], kept["domain"], kept["secure"]) == ("/", "", "")
    assert kept["max-age"] == str(SESSION_S)


def test_over_https_it_never_travels_in_the_clear(sessions: Sessions) -> None:
    """Also behind a proxy that ends TLS: the browser itself says where its page is from."""
    _, cookie, kept = signed_in(sessions, origin=HTTPS)
    assert cookie.startswith("__Host-topup_admin=")
    assert kept["secure"] is True


def test_it_says_who_and_nothing_of_the_key(sessions: Sessions) -> None:
    """Whoever reads the cookie learns neither key nor hash."""
    session, cookie, _ = signed_in(sessions)
    assert sessions.read(asked(cookie=cookie)) == session
    assert session.who == "ana"
    for part in (KEY, KEY[:12]):
        assert part not in cookie
        assert part not in str(session)


def test_it_is_for_that_key_alone(sessions: Sessions) -> None:
    """A person's next key is another one."""
    session, _, _ = signed_in(sessions)
    assert sessions.is_for(session, KEY)
    assert not sessions.is_for(session, hash_of("operator_of_ana_drawn_anew"))


def test_it_ends_after_an_hour(sessions: Sessions, now: Now) -> None:
    """To the millisecond."""
    _, cookie, _ = signed_in(sessions)
    now.ms += SESSION_S * 1_000 - 1
    sessions.read(asked(cookie=cookie))
    now.ms += 1
    with pytest.raises(Unauthorized):
        sessions.read(asked(cookie=cookie))


@given(st.data())
def test_one_changed_character_is_no_cookie(data: st.DataObject) -> None:
    """Who it is, until when, for which key: all of it is signed."""
    sessions = Sessions(SECRET, Now())
    _, cookie, _ = signed_in(sessions)
    name, _, token = cookie.partition("=")
    place = data.draw(st.integers(0, len(token) - 2))  # the last one has bits of no meaning
    sign = data.draw(st.sampled_from("AZaz09-_.").filter(lambda drawn: drawn != token[place]))
    changed = f"{token[:place]}{sign}{token[place + 1 :]}"
    with pytest.raises(Unauthorized):
        sessions.read(asked(cookie=f"{name}={changed}"))


@given(
    st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=';"\\,'),
        max_size=2_000,
    )
)
def test_anything_else_is_no_cookie(text: str) -> None:
    """Whatever it is, it is refused as none, and breaks nothing."""
    with pytest.raises(Unauthorized):
        Sessions(SECRET, Now()).read(asked(cookie=f"topup_admin={text}"))


def test_another_secret_is_another_house(sessions: Sessions, now: Now) -> None:
    """A changed SESSION_KEY ends all sessions."""
    _, cookie, _ = signed_in(sessions)
    with pytest.raises(Unauthorized):
        Sessions("t" * 32, now).read(asked(cookie=cookie))


def test_an_act_says_what_only_our_page_knows(sessions: Sessions) -> None:
    """Without it, or with that of another session, nothing is done."""
    session, cookie, _ = signed_in(sessions)
    other, _, _ = signed_in(sessions)
    told = {CSRF_HEADER: sessions.csrf(session)}
    assert sessions.read(asked("POST", cookie, **told)) == session
    for wrong in ({}, {CSRF_HEADER: ""}, {CSRF_HEADER: sessions.csrf(other)}):
        with pytest.raises(Forbidden):
            sessions.read(asked("POST", cookie, **wrong))


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"origin": "https://elsewhere.test"},
        {"origin": "null"},
        {"origin": "http://topup.test:8081"},
    ],
)
def test_an_act_comes_from_no_other_page(sessions: Sessions, headers: dict[str, str]) -> None:
    """Even if that knew what our page says."""
    session, cookie, _ = signed_in(sessions)
    with pytest.raises(Forbidden, match="another site"):
        sessions.read(asked("POST", cookie, **{CSRF_HEADER: sessions.csrf(session)}, **headers))


def test_a_cookie_that_was_there_before_is_of_no_account(sessions: Sessions) -> None:
    """Who signs in gets a session of his own, whatever somebody put into his browser."""
    before, cookie, _ = signed_in(sessions)
    after, response = sessions.begin("ana", KEY), Response()
    sessions.give(after, asked("POST", cookie, origin=HTTP), response)
    assert after.nonce != before.nonce
    assert sessions.csrf(after) != sessions.csrf(before)
    assert cookie.partition("=")[2] not in response.headers["set-cookie"]


def test_signing_out_takes_both_names_away(sessions: Sessions) -> None:
    """On http and behind https."""
    response = Response()
    sessions.end(response)
    said = response.headers.getlist("set-cookie")
    assert [each.partition("=")[0] for each in said] == ["topup_admin", "__Host-topup_admin"]
    assert all("Max-Age=0" in each for each in said)
    assert not is_signed_in(asked())
