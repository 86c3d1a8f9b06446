"""One sale as an admin asks about it: found by what is in hand, told by whoever knows it."""

import pytest

from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client
from tests.integration.gateway.house import ADMIN_KEY, House

pytestmark = pytest.mark.integration

NOBODYS = "0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"


async def found(home: House, gateway: str, what: str) -> list[str]:
    """Return the ids of what fits."""
    answer = await home.ask(
        "GET",
        f"{gateway}/api/admin/topups",
        params={"find": what},
        headers={"x-admin-key": ADMIN_KEY},
    )
    assert answer.status == 200, answer.body
    return [row["topup_id"] for row in answer.json["data"]]


async def test_a_topup_is_found_and_told_by_record_and_books(
    home: House, whole: str, redis: Client
) -> None:
    """By id at once; by reference and phone once it is booked; also after its record has gone."""
    topup = (await home.post(whole, key="order-7")).json["topup_id"]
    assert await found(home, whole, topup.upper()) == [topup]

    async def booked() -> bool:
        return await found(home, whole, "order-7") == [topup]

    await home.until(booked)
    assert topup in await found(home, whole, "5566374683")
    assert await found(home, whole, "order-77") == []
    story = (await home.admin(whole, f"topups/{topup}/story")).json
    assert (story["status"], story["phone"], story["reference"]) == (
        "queued", "+52********83", "order-7",
    )  # fmt: skip
    assert [(one["source"], one["event"]) for one in story["timeline"]] == [("books", "accepted")]
    assert story["record"]["carried_by"] == "lane entry"
    assert [(one["debit"], one["credit"]) for one in story["postings"]] == [("available", "held")]
    await redis.delete(PartitionKeys(0).record(topup))
    assert (await home.admin(whole, f"topups/{topup}/story")).json["record"] is None


async def test_what_was_put_before_people_is_told(home: House, whole: str, redis: Client) -> None:
    """The copy in `dead`, with its reason."""
    topup = (await home.post(whole)).json["topup_id"]
    dead = {"id": topup, "lane": "LATCOM", "reason": "contradiction", "payload": "x"}
    await redis.xadd(PartitionKeys(0).dead, dead)
    told = (await home.admin(whole, f"topups/{topup}/story")).json["timeline"]
    (copy,) = [one for one in told if one["source"] == "dead"]
    assert copy["detail"]["reason"] == "contradiction"


async def test_while_the_ledger_is_silent_the_record_is_told(home: House, gateway: str) -> None:
    """And what could not be asked; what nobody else knows is 503, not 404."""
    topup = (await home.post(gateway)).json["topup_id"]
    home.ledger.silent = True
    story = (await home.admin(gateway, f"topups/{topup}/story")).json
    assert [(one["source"], one["event"]) for one in story["timeline"]] == [("record", "accepted")]
    assert set(story["unknown"]) == {"books"}
    assert (await home.admin(gateway, f"topups/{NOBODYS}/story")).status == 503
    assert (await home.admin(gateway, "topups?find=order-9")).status == 503


@pytest.mark.parametrize("what", ["", "find=", "find=a&find=b", "find=a&limit=5", "find=%00"])
async def test_a_wrong_search_is_refused(home: House, gateway: str, what: str) -> None:
    """In one line with an example."""
    answer = await home.admin(gateway, f"topups?{what}")
    assert answer.status == 400
    assert "for example ?find=5566374683" in answer.json["error"]


async def test_only_admins_are_told(home: House, whole: str) -> None:
    """Neither the search nor a story goes to anybody else; no such topup is 404."""
    for path in ("topups?find=x", f"topups/{NOBODYS}/story"):
        assert (await home.ask("GET", f"{whole}/api/admin/{path}")).status == 401
    for wrong in (NOBODYS, "42"):
        assert (await home.admin(whole, f"topups/{wrong}/story")).status == 404


async def test_evidence_is_off_without_a_key(home: House, whole: str) -> None:
    """It says which setting is missing, to admins alone."""
    topup = (await home.post(whole)).json["topup_id"]
    off = await home.admin(whole, f"topups/{topup}/evidence")
    assert (off.status, "EVIDENCE_KEY" in off.json["error"]) == (403, True)
    assert (await home.ask("GET", f"{whole}/api/admin/topups/{topup}/evidence")).status == 401
