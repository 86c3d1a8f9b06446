"""Dead letters over HTTP: what they are, what may be done, and why not."""

from typing import Any

import pytest
from uuid_utils import uuid7

from shared.bus.topups import Topups
from shared.contracts.events import TopupRequested, encode
from shared.contracts.peers import TopupRow
from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client
from tests.integration.gateway.house import ADMIN_KEY, Answer, House
from tests.integration.gateway.ledger_stand import CUSTOMER

pytestmark = pytest.mark.integration

NAMES = PartitionKeys(0)
PHONE = "+525512345678"


def order(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "customer_id": CUSTOMER, "phone": PHONE, "country": "MX", "amount_minor": 1_000,
        "currency": "MXN", "provider": "LATCOM", "product": "XOOM_10_MXN",
    }  # fmt: skip
    return encode(TopupRequested(**(fields | changes)))


async def put(redis: Client, **changes: bytes | None) -> str:
    """Put a letter aside as a dispatcher does; return its name."""
    fields = {
        "id": str(uuid7()).encode(), "lane": b"LATCOM", "reason": f"unreadable: {PHONE}".encode(),
        "payload": order(), "sent": b"no",
    } | changes  # fmt: skip
    kept = {name: value for name, value in fields.items() if value is not None}
    return f"0.{(await redis.xadd(NAMES.dead, kept)).decode()}"


async def act(home: House, gateway: str, what: str, letter: str, body: Any = None) -> Answer:
    return await home.ask(
        "POST",
        f"{gateway}/api/admin/dead/{letter}/{what}",
        json={"reason": "mended"} if body is None else body,
        headers={"x-admin-key": ADMIN_KEY},
    )


async def listed(home: House, gateway: str, query: str = "") -> list[dict[str, Any]]:
    found = (await home.admin(gateway, f"dead{query}")).json["letters"]
    assert isinstance(found, list)
    return found


async def test_a_letter_is_shown_with_its_phone_masked(
    home: House, gateway: str, redis: Client
) -> None:
    """In the list, in what it holds, in its cause and its history."""
    first = await put(redis)
    second = await put(redis, payload=b"call 5512345678 \xff", id=b"5512345678")
    assert [one["id"] for one in await listed(home, gateway)] == [second, first]
    for letter in (first, second):
        answer = await home.admin(gateway, f"dead/{letter}")
        assert b"55123456" not in answer.body
        assert "78" in str(answer.json["payload"])
        assert answer.json["history"][0]["what"].startswith("put aside: unreadable")
    whole = (await home.admin(gateway, f"dead/{first}")).json
    assert (whole["payload"]["provider"], whole["letter"]["redrivable"]) == ("LATCOM", True)
    assert whole["history"][-1]["what"] == "its record now: not there"


async def test_what_was_never_sent_goes_on_its_lane(
    home: House, gateway: str, redis: Client
) -> None:
    """Once; its merchant sees it, and the letter says who and why."""
    letter = await put(redis)
    done = await act(home, gateway, "redrive", letter)
    assert (done.status, done.json["done"]) == (200, "redriven")
    shown = await home.show(gateway, done.json["topup_id"])
    assert (shown.status, shown.json["status"]) == (200, "queued")
    assert await listed(home, gateway) == []
    (kept,) = await listed(home, gateway, "?all=true")
    assert kept["dealt_with"]["by"] == "admin"
    again = await act(home, gateway, "redrive", letter)
    assert (again.status, again.code) == (409, "conflict")
    assert "redriven by admin" in again.json["error"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sent": None}, "may have been sent"),
        ({"entry": b"1795000000000-0"}, "topup replay --from 1795000000000-0"),
        ({"payload": b"rubbish"}, "cannot be sold"),
        ({"payload": order(amount_minor=-5)}, "cannot be sold"),
        ({"payload": order(provider="NOBODY")}, "cannot be sold"),
        ({"payload": order(currency="USD")}, "currency"),
        ({"lane": b"ELSEWHERE"}, "ELSEWHERE"),
        ({"id": b"no id"}, "not a lower-case UUID"),
    ],
    ids=str,
)
async def test_anything_else_is_refused_with_its_reason(
    home: House, gateway: str, redis: Client, changes: dict[str, Any], said: str
) -> None:
    """Nothing is put on a lane, and the letter stays."""
    letter = await put(redis, **changes)
    refused = await act(home, gateway, "redrive", letter)
    assert (refused.status, refused.code) == (409, "conflict")
    assert said in refused.json["error"]
    assert (await Topups(redis, partitions=1, window_ms=1).counters(0)).get("accepted", 0) == 0
    assert len(await listed(home, gateway)) == 1


async def test_what_the_books_know_is_not_driven_again(
    home: House, gateway: str, redis: Client
) -> None:
    """Its record may be long gone; and where they cannot be asked, nobody guesses."""
    topup_id = str(uuid7())
    letter = await put(redis, id=topup_id.encode())
    home.ledger.silent = True
    assert (await act(home, gateway, "redrive", letter)).status == 503
    home.ledger.silent = False
    home.ledger.rows[topup_id] = TopupRow(
        topup_id=topup_id, customer_id=CUSTOMER, phone=PHONE, country="MX", amount_minor=1_000,
        currency="MXN", provider="LATCOM", product="XOOM_10_MXN", status="succeeded",
        accepted_at_ms=1, settled_at_ms=2,
    )  # fmt: skip
    refused = await act(home, gateway, "redrive", letter)
    assert refused.status == 409
    assert "it has been paid" in refused.json["error"]


async def test_a_letter_is_discarded_with_a_reason(
    home: House, gateway: str, redis: Client
) -> None:
    """By one; the other is told who it was, and why."""
    letter = await put(redis)
    assert (await act(home, gateway, "discard", letter, {})).status == 400
    assert (await act(home, gateway, "discard", letter, {"reason": " "})).status == 400
    assert (await act(home, gateway, "discard", letter, {"reason": "a test"})).status == 200
    again = await act(home, gateway, "discard", letter)
    assert again.status == 409
    assert "discarded by admin" in again.json["error"]
    assert "a test" in again.json["error"]


@pytest.mark.parametrize("letter", ["0.1-1", "9.1-1", "1-1", "a", "0.99999999999999999999-1"])
async def test_unknown_letters_are_told(home: House, gateway: str, letter: str) -> None:
    """404 whatever is asked of them."""
    assert (await home.admin(gateway, f"dead/{letter}")).status == 404
    for what in ("redrive", "discard"):
        assert (await act(home, gateway, what, letter)).code == "not_found"


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "all=perhaps", "page=2"])
async def test_a_wrong_question_is_told_with_an_example(
    home: House, gateway: str, query: str
) -> None:
    """400, and nothing is read."""
    refused = await home.admin(gateway, f"dead?{query}")
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert "for example" in refused.json["error"]
