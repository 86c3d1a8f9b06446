"""What nobody can read or book goes aside with its reason, and stops nobody, over the whole."""

import json
import secrets
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from shared.contracts.limits import DEAD_PAYLOAD_BYTES_MAX
from shared.contracts.packing import pack
from shared.contracts.streams import DISPATCHER_GROUP, KEYS_STREAM, PartitionKeys
from shared.runtime.redis import Client, connect
from tests.system.stack import Stack, accept, check_books, until

pytestmark = [pytest.mark.system, pytest.mark.long]

NAMES = PartitionKeys(0)
LANE = NAMES.requests("LATCOM")
BODY = b'["r1","ENVIADESPENSA_001","+525566374683","MX",1000,"MXN","LATCOM","XOOM_10_MXN"]'
DEEP = BODY[:-1] + b',null,{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}]"
HUGE = BODY[:-1] + b',null,{"a":"' + b"x" * 1_000_000 + b'"}]'
BOMB = b"\x01" + zlib.compress(b"0" * 50_000_000, 9)[2:-4]
SETTLED = {"seq": b"1", "state": b"succeeded", "reason": b"", "evidence": b""}


def redis_of(stack: Stack) -> Client:
    state = json.loads((stack.folder / "state.json").read_text())
    return connect(state["environment"]["REDIS_URL"])


def lane_entry(**changes: bytes | None) -> dict[str, bytes]:
    """Return what a lane entry holds, of a topup that has no record; None leaves a field out."""
    topup_id = b"019a0000-0000-7000-8000-" + secrets.token_hex(6).encode()
    fields: dict[str, bytes | None] = {
        "id": topup_id,
        "body": BODY,
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


LANE_POISON: Mapping[str, dict[str, bytes | None]] = {
    **{f"{name} is missing": {name: None} for name in ("id", "body")},
    "no field of ours": {"id": None, "body": None, "x": b"y"},
    "id is not text": {"id": b"\xff\xfe"},
    "id is huge": {"id": b"i" * 1_000_000},
    "id is not an id": {"id": b"no such topup"},
    "body is no JSON": {"body": b"\xff"},
    "body is another type": {"body": b'{"customer_id":"C"}'},
    "body has an unknown tag": {"body": BODY.replace(b"r1", b"r2")},
    "body has a huge tag": {"body": BODY.replace(b"r1", b"r" * 100_000)},
    "body nests deeply": {"body": DEEP},
    "body is huge": {"body": HUGE.replace(b'"r1"', b'"r9"')},
    "amount is text": {"body": BODY.replace(b"1000", b'"1000"')},
    "amount is negative": {"body": BODY.replace(b"1000", b"-1000")},
    "amount is astronomical": {"body": BODY.replace(b"1000", b"9" * 400)},
    "currency is nobody's": {"body": BODY.replace(b"MXN", b"ZZZ", 1)},
    "at is not a number": {"at": b"yesterday"},
    "at is beyond all time": {"at": b"9" * 5_000},
}
OUTCOME_POISON: Mapping[str, dict[str, bytes | None]] = {
    **{f"{name} is missing": {name: None} for name in SETTLED},
    "state is unknown": {"state": b"perhaps"},
    "seq is not a number": {"seq": b"first"},
    "seq is huge": {"seq": b"9" * 5_000},
    "evidence is no JSON": {"evidence": b"\xff"},
    "evidence is packed in no known way": {"evidence": b"\x01" + b"\xff" * 50},
    "evidence is half": {"evidence": pack(b'["e1",null,null,"' + b"x" * 999 + b'"]')[:-5]},
    "evidence unfolds without end": {"evidence": BOMB},
    "evidence nests deeply": {"evidence": b'["e1",null,null,' + b"[" * 50_000 + b"]" * 50_000},
    **{name: changes for name, changes in LANE_POISON.items() if "no field" not in name},
}


async def dead(client: Client) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in await client.xrange(NAMES.dead)]


async def nothing_is_pending(client: Client) -> bool:
    """Tell whether both groups have read and acknowledged all of both streams."""
    for stream in (LANE, NAMES.outcomes):
        for group in await client.xinfo_groups(stream):
            if group["pending"] or group["lag"]:
                return False
    return True


async def test_poison_on_the_streams_stops_nobody(stack: Stack) -> None:
    """Each poisoned entry has a copy with its reason; topups before and behind it are paid once."""
    before = await accept(stack, 3)
    client = redis_of(stack)
    for changes in LANE_POISON.values():
        await client.xadd(LANE, lane_entry(**changes))
    for changes in OUTCOME_POISON.values():
        await client.xadd(NAMES.outcomes, lane_entry(**(SETTLED | changes)))
    behind = await accept(stack, 3)
    await stack.until_settled(6)

    assert await check_books(stack, [*before, *behind]) == {"succeeded": 6}
    assert (await stack.book())["paid"] == 6
    await until(lambda: nothing_is_pending(client))
    copies = await dead(client)
    assert len(copies) >= 2 * len(LANE_POISON)
    for copy in copies:
        assert 0 < len(copy[b"reason"]) <= 1_000, copy
        assert len(copy[b"payload"]) <= DEAD_PAYLOAD_BYTES_MAX
        assert len(copy[b"id"]) <= 1_000
    status, page = await stack.get("/api/enviadespensa/topups")
    assert status == 200
    assert {row["topup_id"] for row in page["data"]} >= {*before, *behind}
    assert "✗" not in stack.topup("ledger", "verify").stdout
    await client.aclose()


async def test_what_is_of_newer_code_or_of_another_lane_is_left_alone(stack: Stack) -> None:
    """A newer record keeps its entry for newer code; an entry of another lane goes aside alone."""
    client = redis_of(stack)
    newer, elsewhere = lane_entry(), lane_entry()
    for entry, changes in ((newer, {"v": "2"}), (elsewhere, {"lane": "ELSEWHERE"})):
        record = NAMES.record(entry["id"].decode())
        fields = {"v": "1", "state": "queued", "lane": "LATCOM", "seq": "0", **changes}
        at = {"at": "1795000000000", "deliver_before": "9795000000000"}
        await client.hset(record, mapping={**fields, **at, "body": BODY})
    before = {entry["id"]: await client.hgetall(_record(entry)) for entry in (newer, elsewhere)}
    kept = await client.xadd(LANE, newer)
    await client.xadd(LANE, elsewhere)
    behind = await accept(stack, 3)
    await stack.until_settled(3)

    assert await check_books(stack, behind) == {"succeeded": 3}

    async def only_the_newer_one_is_pending() -> bool:
        pending = await client.xpending_range(LANE, DISPATCHER_GROUP, "-", "+", 10)
        return [row["message_id"] for row in pending] == [kept]

    await until(only_the_newer_one_is_pending)
    copies = {copy[b"id"]: copy[b"reason"] for copy in await dead(client)}
    assert newer["id"] not in copies
    assert b"the record is of lane ELSEWHERE" in copies[elsewhere["id"]]
    for entry in (newer, elsewhere):
        assert await client.hgetall(_record(entry)) == before[entry["id"]]
        assert (await stack.book(entry["id"].decode())).get("paid", 0) == 0
    await client.xack(LANE, DISPATCHER_GROUP, kept)
    await client.aclose()


async def test_poisoned_announcements_and_beats_hide_nobody_else(stack: Stack) -> None:
    """A new key works and a revoked one stops at once; replicas and health are still told."""
    client = redis_of(stack)
    told = len((await stack.queue())["instances"])
    nested = b'{"sha256":' + b"[" * 50_000 + b"]" * 50_000
    poison = [b"", b"\xff", b"[]", b"null", b'{"sha256":1}', b"{" * 1_000, nested, b"x" * 1_000_000]
    for number, payload in enumerate(poison):
        await client.xadd(KEYS_STREAM, {"key": payload})
        await client.hset(NAMES.instances, f"poison-{number}", payload)
    await client.xadd(KEYS_STREAM, {"no": "key"})
    drawn = json.loads(stack.topup("keys", "create", "ENVIADESPENSA_001", "--json").stdout)
    secret = {"x-api-key": drawn["key"]}

    async def works() -> bool:
        return (await stack.get("/api/enviadespensa/topups", **secret))[0] == 200

    async def stopped() -> bool:
        return (await stack.get("/api/enviadespensa/topups", **secret))[0] == 401

    await until(works)
    assert stack.topup("keys", "revoke", drawn["id"], "--yes").returncode == 0
    await until(stopped)
    assert len((await stack.queue())["instances"]) == told
    assert stack.topup("status").returncode == 0
    assert (await stack.get("/health"))[0] == 200
    await client.hdel(NAMES.instances, *(f"poison-{number}" for number in range(len(poison))))
    await client.aclose()


UNKNOWN = "019a0000-0000-7000-8000-00000000beef"


@pytest.mark.parametrize(
    "words",
    [
        ["explain", UNKNOWN],
        ["replay", "--topup", UNKNOWN],
        ["replay", "--customer", "NOBODY_001", "--dry-run"],
        ["export", "--customer", "NOBODY_001"],
        ["customers", "show", "NOBODY_001"],
        ["customers", "limit", "NOBODY_001", "5"],
        ["customers", "disable", "NOBODY_001", "--yes"],
        ["customers", "enable", "NOBODY_001"],
        ["keys", "create", "NOBODY_001"],
        ["keys", "list", "NOBODY_001"],
        ["keys", "revoke", "00000000beef", "--yes"],
        ["keys", "rotate", "00000000beef", "--yes"],
        ["logs", "cashier"],
        ["scale", "cashier=2"],
        ["scale", "gateway=65"],
        ["scale", "sandbox=2"],
    ],
    ids=" ".join,
)
def test_what_nobody_has_is_one_line(stack: Stack, words: list[str], tmp_path: Path) -> None:
    """Status 2 on standard error alone, also where all servers could be asked; nothing is made."""
    file = [str(tmp_path / "all.jsonl.gz")] if words[0] == "export" else []
    done = stack.topup(*words, *file)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def _record(entry: Mapping[str, bytes]) -> str:
    return NAMES.record(entry["id"].decode())
