"""A provider's statement sent over HTTP: what it is to the books, and what it never does."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.contracts.statements import STATEMENT_BYTES_MAX
from shared.contracts.states import State
from tests.integration.bus.bench import Bench
from tests.integration.gateway.browser import Browser
from tests.integration.gateway.house import Answer, House
from tests.integration.gateway.people import People, booked_in_limbo, sell

pytestmark = pytest.mark.integration

HEAD = "distTransid,transId,targetMSISDN,amount,currency,time,status\n"
FILE = {"content-type": "application/octet-stream"}
REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("a,b\n1,2\n", {}, "invalid_request", "amount"),
    ("", {}, "invalid_request", "today.csv: "),
    ("PK\x03\x04 no workbook", {}, "invalid_request", "today.csv: "),
    (HEAD, {"query": {"day": "2026-02-30"}}, "invalid_request", "no day"),
    (HEAD, {"query": {"provider": "NOBODY"}}, "invalid_request", "known: LATCOM"),
    (HEAD, {"query": {"file": "../../etc/passwd"}}, "invalid_request", "file"),
    (HEAD, {"content-type": "text/csv"}, "unsupported_media_type", "octet-stream"),
    ("x" * (STATEMENT_BYTES_MAX + 1), {}, "too_large", "topup reconcile"),
    (HEAD, {"x-csrf-token": ""}, "forbidden", "x-csrf-token"),
    (HEAD, {"cookie": ""}, "unauthorized", "key"),
]


def today() -> dt.datetime:
    return dt.datetime.now(ZoneInfo("America/Mexico_City"))


def line(topup_id: str, amount: str = "10.00") -> str:
    return f"{topup_id},T1,5566374683,{amount},MXN,{today():%Y-%m-%dT%H:%M:%S},Success\n"


class Sender:
    """Sends a statement of today, as a person who is signed in."""

    def __init__(self, home: House, browser: Browser) -> None:
        self._home = home
        self._browser = browser

    async def __call__(self, text: str, **changes: Any) -> Answer:
        asked = {"provider": "LATCOM", "day": f"{today():%Y-%m-%d}", "file": "today.csv"}
        said = {"cookie": self._browser.cookie, "x-csrf-token": self._browser.csrf, **FILE}
        return await self._home.ask(
            "POST",
            f"{self._browser.gateway}/api/admin/reconcile",
            params={**asked, **changes.pop("query", {})},
            data=text.encode(),
            headers={**said, **changes},
        )


@pytest.fixture
async def send(home: House, whole: str, people: People) -> Sender:
    browser = Browser(home, whole)
    await browser.sign_in(people.keys["ana"])
    return Sender(home, browser)


async def test_a_statement_is_told_line_by_line(
    home: House, whole: str, people: People, bench: Bench, send: Sender
) -> None:
    """What is matched, what is not, and what it shows of money in limbo, which ana can propose."""
    lost = await sell(home, whole, bench, State.UNRESOLVED)
    await booked_in_limbo(home, people, lost)
    stranger = "0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"
    answer = await send(HEAD + line(lost) + line(stranger, "20.00"))
    assert answer.status == 200
    found = answer.json["found"]
    assert (found["lines_read"], found["clean"]) == (2, False)
    (other,) = [one for one in found["differences"] if one["their_amount"] == "20.00"]
    assert other["class"] == "theirs missing here"
    assert other["their_phone"] == "+52********83"
    (end,) = found["ends"]
    assert (end["topup_id"], end["to"]) == (lost, "succeeded")
    listed = (await people.ask("ana", "GET", f"unresolved/{lost}")).json
    assert listed["topup"]["status"] == "unresolved"
    assert listed["proposals"] == []
    proposed = {"to": end["to"], "evidence": end["evidence"]}
    await people.ask("ana", "POST", f"unresolved/{lost}/propose", **proposed)


async def test_what_cannot_be_compared_is_told_so(send: Sender) -> None:
    """In one line that says why; nothing is kept of it."""
    for text, how, code, problem in REFUSED:
        answer = await send(text, **how)
        assert (answer.code, problem in answer.json["error"]) == (code, True), answer.body
