"""What people do, each by name, from the act to the audit, the story and the evidence of a sale."""

import io
import zipfile
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from uuid_utils import uuid7

from services.ledger.database import Database
from services.ledger.dossier import Dossiers
from services.ledger.evidence import Signer, draw_signing_key, verify
from shared.contracts.events import TopupRequested, encode
from shared.runtime.clock import SystemClock
from tests.integration.bus.bench import LANE, Bench
from tests.integration.gateway.house import House
from tests.integration.gateway.ledger_stand import CUSTOMER
from tests.integration.gateway.people import People, booked_in_limbo, sell_into_limbo

pytestmark = pytest.mark.integration

UNKNOWN = "0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"
PROPOSED = "they say so (proposed by ana)"


async def put_aside(bench: Bench) -> tuple[str, str]:
    """Put a letter aside for which nothing was begun; return its name and its topup."""
    topup_id = str(uuid7())
    order = TopupRequested(
        customer_id=CUSTOMER, phone="+525512345678", country="MX", amount_minor=1_000,
        currency="MXN", provider=LANE, product="XOOM_10_MXN",
    )  # fmt: skip
    fields = {"id": topup_id, "lane": LANE, "reason": "unreadable", "payload": encode(order)}
    entry = await bench.client.xadd(bench.keys.dead, fields | {"sent": "no"})
    return f"0.{entry.decode()}", topup_id


@pytest.fixture
async def sale(home: House, whole: str, bench: Bench, people: People) -> str:
    """A sale that was resolved while its lane was held; its id."""
    topup_id = await sell_into_limbo(home, whole, bench)
    await people.ask("ana", "POST", f"lanes/{LANE}/hold", reason="strike")
    await booked_in_limbo(home, people, topup_id)
    await people.settle(topup_id, to="succeeded", evidence="they say so")
    settled_ms = await bench.topups.now_ms()

    async def later() -> bool:
        """What is done in the same millisecond is in the sale's time as well."""
        return await bench.topups.now_ms() > settled_ms

    await home.until(later)
    await people.ask("ben", "POST", f"lanes/{LANE}/release", reason="it is over")
    return topup_id


async def test_each_act_is_in_the_audit(
    home: House, bench: Bench, people: People, sale: str
) -> None:
    """Who did what to what, and why, how it was and how it is."""
    again, driven = await put_aside(bench)
    rubbish, dropped = await put_aside(bench)
    await people.ask("ana", "POST", f"dead/{again}/redrive", reason="mended")
    await people.ask("ben", "POST", f"dead/{rubbish}/discard", reason="a test")
    wanted = [
        ("ana", "lane.hold", LANE, "strike", "open", "held"),
        ("ana", "topup.propose", sale, "they say so", None, None),
        ("ben", "topup.resolve", sale, PROPOSED, "unresolved", "succeeded"),
        ("ben", "lane.release", LANE, "it is over", "held", "open"),
        ("ana", "dead.redrive", driven, "mended", "waiting", "redriven"),
        ("ben", "dead.discard", dropped, "a test", "waiting", "discarded"),
    ]

    async def all_there() -> bool:
        found = (await people.ask("ana", "GET", f"audit?limit={len(wanted)}")).json["acts"]
        return sorted(one["act"] for one in found) == sorted(row[1] for row in wanted)

    await home.until(all_there)
    told = [
        (one["who"], one["act"], one["target"], one["why"], (one["before"] or {}).get("state"),
         one["after"].get("state"))
        for one in (await people.acts())[-len(wanted) :]
    ]  # fmt: skip
    assert sorted(told, key=str) == sorted(wanted, key=str)
    on_streams = [row for row in told if row[1] != "topup.propose"]
    assert on_streams == [row for row in wanted if row[1] != "topup.propose"]
    assert "acts follow one another" in await people.type("audit", "verify")


async def test_what_people_did_about_a_sale_is_in_its_story_and_its_evidence(
    home: House, people: People, sale: str, database_url: str
) -> None:
    """And what its lane went through in its time is in the story; others' acts in no evidence."""
    story: list[dict[str, Any]] = []

    async def told() -> bool:
        story[:] = (await people.ask("ben", "GET", f"topups/{sale}/story")).json["timeline"]
        events = {one["event"] for one in story}
        return {"resolved_succeeded", "topup.resolve"} <= events

    await home.until(told)
    acts = [one["detail"] | {"act": one["event"]} for one in story if one["source"] == "audit"]
    assert [one["act"] for one in acts[-3:]] == ["lane.hold", "topup.propose", "topup.resolve"]
    assert acts[-3] == {
        "act": "lane.hold", "of": LANE, "who": "ana", "why": "strike", "from": "open", "to": "held",
    }  # fmt: skip
    assert acts[-1] == {
        "act": "topup.resolve", "of": sale, "who": "ben", "why": PROPOSED,
        "from": "unresolved", "to": "succeeded",
    }  # fmt: skip
    database = Database(database_url, connections_max=1)
    await database.open()
    packed = await Dossiers(database, Signer(draw_signing_key()), SystemClock()).packed(sale)
    await database.close()
    assert packed is not None
    assert packed.content is not None
    assert [one for one in verify(packed.content).checks if one.broken] == []
    with zipfile.ZipFile(io.BytesIO(packed.content)) as files:
        told_acts = files.read("audit.json")
    assert told_acts.count(b"topup.resolve") == 1
    assert b"strike" not in told_acts


async def test_what_is_in_limbo_is_settled_by_command(
    home: House, whole: str, bench: Bench, people: People, tmp_path: Path
) -> None:
    """With a file as evidence; taken back and proposed anew; the checker finds the very bytes."""
    topup_id = await sell_into_limbo(home, whole, bench)
    await booked_in_limbo(home, people, topup_id)
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(bytes(range(256)))
    resolve = ("unresolved", "resolve", topup_id, "--succeeded", "--evidence", f"@{letter}")
    assert "nothing was changed" in await people.type(*resolve, "--dry-run")
    await people.type(*resolve, "--yes")
    assert "proposed as succeeded by ana" in await people.type("unresolved", "list")
    reason = ("--reason", "mistaken")
    await people.type("unresolved", "withdraw", topup_id, *reason, "--yes")
    again = await people.type("unresolved", "withdraw", topup_id, *reason, "--yes", status=1)
    assert "withdrawn by ana" in again
    assert "(mistaken)" in again
    await people.type(*resolve, "--yes")
    found = (await people.ask("ben", "GET", f"unresolved/{topup_id}")).json["proposals"]
    assert [one["state"] for one in found] == ["proposed", "withdrawn"]
    file = found[0]["file"]
    assert (file["name"], b64decode(file["content"])) == (letter.name, letter.read_bytes())
    assert file["sha256"] == sha256(letter.read_bytes()).hexdigest()
    await people.ask("ben", "POST", f"unresolved/{topup_id}/confirm", proposal=found[0]["id"])
    assert (await home.show(whole, topup_id)).json["status"] == "succeeded"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"", "is empty or larger"), (b"x" * 65_537, "is empty or larger")],
)
async def test_a_file_that_is_no_evidence_is_refused(
    people: People, tmp_path: Path, content: bytes | None, said: str
) -> None:
    """In one line, before anybody is asked."""
    file = tmp_path / "letter.pdf"
    if content is not None:
        file.write_bytes(content)
    words = ("unresolved", "resolve", UNKNOWN, "--succeeded", "--evidence", f"@{file}", "--yes")
    printed = await people.type(*words, status=2)
    assert said in printed
    assert printed.count("\n") == 1
