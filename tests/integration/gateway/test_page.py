"""The operators' page as the network sees it: who comes in, for how long, what may be loaded."""

import re

import pytest

from services.gateway.sessions import SESSION_S
from shared.contracts.keys import hash_of
from shared.contracts.peers import OperatorKey
from tests.integration.gateway.browser import Browser
from tests.integration.gateway.house import ADMIN_KEY, House

pytestmark = pytest.mark.integration

HOLD = {"reason": "strike", "until": "30m"}


@pytest.fixture
def browser(home: House, gateway: str) -> Browser:
    return Browser(home, gateway)


def operator(name: str, key: str, *, active: bool = True) -> OperatorKey:
    return OperatorKey(sha256=hash_of(key), name=name, active=active)


# -- the page --------------------------------------------------------------------------------


async def test_the_page_may_load_from_here_only_and_stand_in_no_frame(
    home: House, gateway: str
) -> None:
    """No script, style or address of another host, none inline, no text that becomes code."""
    page = await home.ask("GET", f"{gateway}/admin")
    policy = dict(
        rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; ")
    )
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("require-trusted-types-for") == "'script'"
    assert policy.pop("frame-ancestors") == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["x-content-type-options"] == "nosniff"


async def test_all_that_the_page_asks_for_is_served(home: House, gateway: str) -> None:
    """Each file, and what these import, with the type that browsers insist on."""
    html = (await home.ask("GET", f"{gateway}/admin")).body.decode()
    wanted = set(re.findall(r"(?:src|href)=\"(admin/[^\"]+)\"", html))
    seen: set[str] = set()
    while wanted - seen:
        file = (wanted - seen).pop()
        seen.add(file)
        answer = await home.ask("GET", f"{gateway}/{file}")
        assert answer.status == 200, file
        kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
        assert answer.headers["content-type"].startswith(kind[file.rpartition(".")[2]])
        found = re.findall(r"from \"\./([a-z]+\.js)\"", answer.body.decode())
        wanted |= {f"admin/{name}" for name in found}
    assert {"admin/chart.js", "admin/app.js", "admin/settling.js"} <= seen


async def test_the_charts_travel_packed_and_once(home: House, gateway: str) -> None:
    """A megabyte is a fifth of it for who takes gzip, and nothing for who has it."""
    url = f"{gateway}/admin/chart.js"
    packed = await home.ask("GET", url, headers={"accept-encoding": "gzip"})
    plain = await home.ask("GET", url, headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.body) / 4
    assert packed.body == plain.body
    known = {"accept-encoding": "gzip", "if-none-match": packed.headers["etag"]}
    assert (await home.ask("GET", url, headers=known)).status == 304


async def test_where_the_admin_api_is_off_there_is_no_page(home: House) -> None:
    """Nor where nothing signs a cookie: neither page, nor file, nor a way to sign in."""
    for name, missing in (("no-key", {"admin_key": None}), ("unsigned", {"session_key": None})):
        url = await home.gateway(name, **missing)
        for path in ("admin", "admin/app.js", "api/admin/session"):
            assert (await home.ask("GET", f"{url}/{path}")).code == "not_found"
        assert (await Browser(home, url).sign_in()).code == "not_found"


# -- who comes in ----------------------------------------------------------------------------


async def test_a_key_becomes_a_cookie_that_the_admin_api_takes(browser: Browser) -> None:
    """To look and to act; the act is of the person."""
    assert (await browser.look("lanes")).code == "unauthorized"
    answer = await browser.sign_in()
    assert (answer.status, answer.json["who"]) == (200, "admin")
    assert (await browser.look("session")).json["csrf"] == browser.csrf
    assert (await browser.look("lanes")).status == 200
    held = await browser.act("lanes/LATCOM/hold", HOLD)
    assert (held.status, held.json["after"]["by"]) == (200, "admin")


async def test_a_wrong_key_gets_no_cookie(browser: Browser) -> None:
    """And is told no more than that."""
    for wrong in (f"{ADMIN_KEY}x", "operator_nobody", "x" * 512):
        answer = await browser.sign_in(wrong)
        assert (answer.code, "set-cookie" in answer.headers) == ("unauthorized", False)
        assert answer.json["error"] == "That is the key of no operator"
    assert (await browser.sign_in("")).code == "invalid_request"


async def test_gateways_take_each_others_cookies(home: House, browser: Browser) -> None:
    """Whichever the next request comes to; with another SESSION_KEY they do not."""
    await browser.sign_in()
    browser.gateway = await home.gateway("gateway-2")
    assert (await browser.look("lanes")).status == 200
    browser.gateway = await home.gateway(
        "gateway-3", session_key="another-key-of-the-tests-32-signs"
    )
    assert (await browser.look("lanes")).code == "unauthorized"


async def test_a_key_in_the_header_needs_no_cookie_and_outranks_one(browser: Browser) -> None:
    """A program's wrong key is wrong, whoever's cookie comes along."""
    await browser.sign_in()
    assert (await browser.look("lanes", **{"x-admin-key": "wrong"})).code == "unauthorized"
    assert (await browser.look("lanes", **{"x-admin-key": ADMIN_KEY})).status == 200


async def test_a_session_ends_after_its_hour(home: House, browser: Browser) -> None:
    """For looks, acts and the live picture."""
    await browser.sign_in()
    async with browser.watching() as watching:
        await watching.frame()
        home.clock.ahead_s = SESSION_S
        names = [(await watching.event())[0] for _ in range(2)]
        assert "over" in names
    assert (await browser.look("session")).code == "unauthorized"
    assert (await browser.act("lanes/LATCOM/hold", HOLD)).code == "unauthorized"


@pytest.mark.parametrize("next_key", [None, "operator_next"])
async def test_a_session_dies_with_its_key(home: House, next_key: str | None) -> None:
    """Revoked, or drawn anew: the cookie of the old key is worth nothing, at once."""
    home.ledger.operators = [operator("ana", "operator_ana"), operator("ben", "operator_ben")]
    browser = Browser(home, await home.gateway())
    assert (await browser.sign_in("operator_ana")).json["who"] == "ana"
    assert (await browser.look("lanes")).status == 200
    home.ledger.operators = [operator("ben", "operator_ben")]
    if next_key is not None:
        home.ledger.operators.append(operator("ana", next_key))
    (service,) = [one for name, one in home._open.items() if name == "gateway-1"]
    await service._keyring.renew()  # type: ignore[attr-defined] # as each minute, or when told
    assert (await browser.look("lanes")).code == "unauthorized"
    if next_key is not None:
        assert (await browser.sign_in(next_key)).status == 200


async def test_another_admin_key_ends_its_sessions(home: House, browser: Browser) -> None:
    """A gateway that was restarted with it takes no cookie of the old one."""
    await browser.sign_in()
    browser.gateway = await home.gateway("gateway-2", admin_key="another-admin-key")
    assert (await browser.look("lanes")).code == "unauthorized"


async def test_signing_out_takes_the_cookie_away(browser: Browser) -> None:
    """The browser is told to forget it."""
    await browser.sign_in()
    answer = await browser.act("sign-out", {})
    assert answer.status == 200
    assert all("Max-Age=0" in said for said in answer.headers.getall("set-cookie"))


# -- other people's pages --------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"x-csrf-token": ""},
        {"x-csrf-token": "guessed"},
        {"origin": "https://elsewhere.test"},
        {"sec-fetch-site": "cross-site"},
    ],
)
async def test_another_sites_page_does_nothing_with_the_cookie(
    browser: Browser, headers: dict[str, str]
) -> None:
    """Were the cookie sent along all the same: nothing is held."""
    await browser.sign_in()
    assert (await browser.act("lanes/LATCOM/hold", HOLD, **headers)).code == "forbidden"
    lanes = (await browser.look("lanes")).json["lanes"]
    assert {lane["state"] for lane in lanes} == {"open"}


async def test_nobody_is_signed_in_by_another_sites_page(browser: Browser) -> None:
    """So nobody acts in a session that somebody else has chosen."""
    for headers in ({"origin": "https://elsewhere.test"}, {"sec-fetch-site": "cross-site"}):
        answer = await browser.sign_in(ADMIN_KEY, **headers)
        assert (answer.code, "set-cookie" in answer.headers) == ("forbidden", False)
    plain = await browser._home.session.post(
        f"{browser.gateway}/api/admin/sign-in", data={"key": ADMIN_KEY}
    )  # as a form would
    assert plain.status == 415


async def test_merchants_calls_take_no_cookie(home: House, browser: Browser) -> None:
    """An operator's session sells nothing."""
    await browser.sign_in()
    answer = await home.post(browser.gateway, x_api_key=None, cookie=browser.cookie)
    assert answer.code == "unauthorized"


async def test_no_page_of_another_site_reads_an_answer(browser: Browser) -> None:
    """No header lets it, asked as browsers ask before."""
    await browser.sign_in()
    answer = await browser.look("session", origin="https://elsewhere.test")
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
