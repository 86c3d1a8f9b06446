"""What an operator types at night, over the whole of it: lanes and dead letters."""

import asyncio
import json
import secrets
from typing import Any

import pytest

from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client
from tests.system.stack import Stack, check_books, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.settings(SANDBOX_LATENCY="100")]

LANE = PartitionKeys(0).requests("LATCOM")
BODY = b'["r1","ENVIADESPENSA_001","+525566374683","MX",1000,"MXN","LATCOM","XOOM_10_MXN"]'


async def said(stack: Stack, *words: str) -> Any:
    """Return the JSON of a command."""
    done = await asyncio.to_thread(stack.topup, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def lane(stack: Stack) -> dict[str, Any]:
    """Return LATCOM's lane."""
    (found,) = [one for one in await said(stack, "lanes", "list") if one["provider"] == "LATCOM"]
    return dict(found)


async def put(redis: Client, **fields: bytes) -> str:
    """Put an entry on the lane that no gateway wrote; return the id of its topup."""
    topup_id = "019a0000-0000-7000-8000-" + secrets.token_hex(6)
    await redis.xadd(LANE, {"id": topup_id, "body": BODY, **fields})
    return topup_id


async def test_a_lane_is_held_and_released_by_a_command(stack: Stack) -> None:
    """It asks first; merchants are told at once; nothing is sent until it is released."""
    hold = ("lanes", "hold", "LATCOM", "--reason", "maintenance", "--for", "30m")
    for words, status in [((*hold, "--dry-run"), 0), (hold, 2), (("lanes", "hold", "NOBODY"), 2)]:
        done = await asyncio.to_thread(stack.topup, *words)
        assert done.returncode == status, done.stderr
        assert len((done.stdout + done.stderr).splitlines()) == 1
    assert (await lane(stack))["state"] == "open"

    held = await said(stack, *hold, "--yes")
    assert (held["before"]["state"], held["after"]["state"]) == ("open", "held")
    try:
        _, body = await stack.post()
        told = await stack.status_of(body["topup_id"])
        assert (told["status"], told["reason"]) == ("waiting", "lane_held")
        assert told["expected_at"] is not None
        now = await lane(stack)
        assert (now["reason"], now["by"]) == ("maintenance", "admin")
        assert now["until"] == held["after"]["until"]
        assert (await stack.book(body["topup_id"]))["asked"] == 0
    finally:
        released = await said(stack, "lanes", "release", "LATCOM", "--yes")
    assert (released["changed"], released["after"]["state"]) == (True, "open")
    again = await said(stack, "lanes", "release", "LATCOM", "--yes")
    assert (again["changed"], again["after"]["by"]) == (False, "admin")
    await stack.until_settled(1)
    assert await check_books(stack, [body["topup_id"]]) == {"succeeded": 1}


async def test_a_dead_letter_that_was_never_sent_is_paid_once(stack: Stack, redis: Client) -> None:
    """Listed, shown without its phone, driven again; the rest is refused, and discarded."""
    topup_id = await put(redis, at=b"yesterday")

    async def letters() -> list[dict[str, Any]]:
        found = await said(stack, "dead", "list")
        return [one for one in found if one["topup_id"] == topup_id]

    both = await until(lambda: _of(letters, 2), within_s=60)
    (mine,) = [one for one in both if one["redrivable"]]
    (books,) = [one for one in both if not one["redrivable"]]
    shown = await asyncio.to_thread(stack.topup, "dead", "show", mine["id"])
    assert "5566374683" not in shown.stdout
    assert "at is" in shown.stdout or "yesterday" in shown.stdout
    why = ("--reason", "mended", "--yes")
    refused = await asyncio.to_thread(stack.topup, "dead", "redrive", books["id"], *why)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "topup replay" in refused.stderr
    assert (await said(stack, "dead", "redrive", mine["id"], *why))["topup_id"] == topup_id
    await stack.until_settled(1)
    assert await check_books(stack, [topup_id]) == {"succeeded": 1}
    assert (await stack.book(topup_id))["paid"] == 1
    twice = await asyncio.to_thread(stack.topup, "dead", "redrive", mine["id"], *why)
    assert twice.returncode == 1
    assert "redriven by admin" in twice.stderr
    await said(stack, "dead", "discard", books["id"], *why)
    assert await letters() == []
    unknown = await asyncio.to_thread(stack.topup, "dead", "discard", "0.1-1", *why)
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (2, 1)


async def _of(look: Any, count: int) -> Any:
    found = await look()
    return found if len(found) == count else None


async def test_an_entry_without_a_record_is_the_same_in_books_and_streams(
    stack: Stack, redis: Client
) -> None:
    """Whoever wrote it, and however: never queued for ever in the one and ended in the other."""
    spaced = await put(redis, body=BODY.replace(b",", b", "))
    plain = await put(redis)
    nobodys = await put(redis, body=BODY.replace(b"1000", b"-1000"))
    await stack.until_settled(2)

    async def booked() -> bool:
        _, page = await stack.get("/api/enviadespensa/topups?limit=100")
        states = {row["topup_id"]: row["status"] for row in page["data"]}
        return (states.get(spaced), states.get(plain)) == ("unresolved", "unresolved")

    await until(booked)
    for topup_id in (spaced, plain):
        record = await redis.hgetall(PartitionKeys(0).record(topup_id))
        assert record[b"state"] == b"unresolved"
        assert (await stack.book(topup_id)).get("paid", 0) == 0
    assert await redis.exists(PartitionKeys(0).record(nobodys)) == 0
