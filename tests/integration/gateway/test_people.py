"""What people do, each by name, from the act to the audit, the story and the evidence of a sale."""

import asyncio
import io
import json
import os
import sys
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
from uuid_utils import uuid7

from services.ledger.changes import Changes
from services.ledger.database import Database
from services.ledger.dossier import Dossiers
from services.ledger.evidence import Signer, draw_signing_key, verify
from services.ledger.keys import NewKey
from services.ledger.operators import Operators
from shared.bus.messages import Outcome
from shared.bus.records import Record
from shared.contracts.acts import act_by
from shared.contracts.events import TopupRequested, encode
from shared.contracts.keys import OPERATOR_PREFIX, draw_key, hash_of, shown_of
from shared.contracts.states import State
from shared.runtime.clock import SystemClock
from shared.runtime.redis import Client
from tests.integration.bus.bench import LANE, Bench
from tests.integration.gateway.house import Answer, House
from tests.integration.gateway.ledger_stand import CUSTOMER

pytestmark = pytest.mark.integration

NAMES = ("ana", "ben")
RUN = "from ops.cli import main; main()"


class People:
    """Two operators at one gateway, who ask over HTTP and type commands."""

    def __init__(self, home: House, gateway: str, database_url: str) -> None:
        self.keys = {name: draw_key(OPERATOR_PREFIX) for name in NAMES}
        self._home = home
        self._gateway = gateway
        self._database_url = database_url

    async def ask(self, name: str, method: str, path: str, reason: str | None = None) -> Answer:
        """Ask the admin API as this person; an act has a reason."""
        answer = await self._home.ask(
            method,
            f"{self._gateway}/api/admin/{path}",
            headers={"x-admin-key": self.keys[name]},
            **({} if reason is None else {"json": {"reason": reason}}),
        )
        assert answer.status == 200, answer.body
        return answer

    async def type(self, *words: str) -> str:
        """Return what `topup` prints to ana."""
        known = {
            "TOPUP_URL": self._gateway,
            "TOPUP_ADMIN_KEY": self.keys["ana"],
            "DATABASE_URL": self._database_url,
        }
        typed = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            RUN,
            *words,
            env=os.environ | known,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await typed.communicate()
        assert typed.returncode == 0, out
        return out.decode()

    async def acts(self) -> list[dict[str, Any]]:
        """Return what the audit has, oldest first."""
        listed = json.loads(await self.type("audit", "list", "--limit", "1000", "--json"))
        return list(reversed(listed))


@pytest.fixture
async def people(
    home: House, whole: str, changes: Changes, database_url: str
) -> AsyncIterator[People]:
    """Ana and ben, known to the gateway."""
    operators, both = Operators(changes), People(home, whole, database_url)
    for name, key in both.keys.items():
        await operators.add(name, NewKey(sha256=hash_of(key), prefix=shown_of(key)))

    async def known() -> bool:
        asked = {"x-admin-key": both.keys["ben"]}
        return (await home.ask("GET", f"{whole}/api/admin/lanes", headers=asked)).status == 200

    await home.until(known)
    yield both
    for name in NAMES:
        await operators.revoke(name)


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


async def unresolved(home: House, gateway: str, bench: Bench) -> str:
    """Sell something whose answer is lost; return its id."""
    topup_id = str((await home.post(gateway)).json["topup_id"])
    await bench.topups.prepare(LANE)
    await bench.deliver("d")
    await bench.begin(topup_id, "d", "n1")
    lost = Outcome(
        id=topup_id, key_hash="", nonce="n1", to=State.UNRESOLVED, reason="no_answer",
        provider_reference="", evidence=b"",
    )  # fmt: skip
    assert await bench.topups.finish(0, LANE, [lost], terms=bench.terms) == [("ok", "unresolved")]
    return topup_id


async def resolve(bench: Bench, topup_id: str) -> None:
    """Settle it by hand, as ana."""
    (record,) = await bench.topups.look(0, [topup_id])
    assert isinstance(record, Record)
    word, _ = await bench.topups.resolve(
        0, record, to=State.SUCCEEDED, asked_at_ms=0, provider_reference="P1", evidence=b"",
        act=act_by("ana", why="they say so"),
    )  # fmt: skip
    assert word == "ok"


@pytest.fixture
async def bench(redis: Client) -> Bench:
    """The streams, as dispatchers use them."""
    return Bench(redis)


@pytest.fixture
async def sale(home: House, whole: str, bench: Bench, people: People) -> str:
    """A sale that was resolved while its lane was held; its id."""
    topup_id = await unresolved(home, whole, bench)
    await people.ask("ana", "POST", f"lanes/{LANE}/hold", "strike")
    await resolve(bench, topup_id)
    await people.ask("ben", "POST", f"lanes/{LANE}/release", "it is over")
    return topup_id


async def test_each_act_is_in_the_audit(
    home: House, bench: Bench, people: People, sale: str
) -> None:
    """Who did what to what, and why, how it was and how it is."""
    again, driven = await put_aside(bench)
    rubbish, dropped = await put_aside(bench)
    await people.ask("ana", "POST", f"dead/{again}/redrive", "mended")
    await people.ask("ben", "POST", f"dead/{rubbish}/discard", "a test")
    wanted = [
        ("ana", "lane.hold", LANE, "strike", "open", "held"),
        ("ana", "topup.resolve", sale, "they say so", "unresolved", "succeeded"),
        ("ben", "lane.release", LANE, "it is over", "held", "open"),
        ("ana", "dead.redrive", driven, "mended", "waiting", "redriven"),
        ("ben", "dead.discard", dropped, "a test", "waiting", "discarded"),
    ]

    async def all_there() -> bool:
        found = (await people.ask("ana", "GET", "audit?limit=5")).json["acts"]
        return [one["act"] for one in found] == [row[1] for row in reversed(wanted)]

    await home.until(all_there)
    told = [
        (one["who"], one["act"], one["target"], one["why"], one["before"]["state"],
         one["after"]["state"])
        for one in (await people.acts())[-len(wanted) :]
    ]  # fmt: skip
    assert told == wanted
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
    assert acts[-2:] == [
        {
            "act": "lane.hold", "of": LANE, "who": "ana", "why": "strike",
            "from": "open", "to": "held",
        },
        {
            "act": "topup.resolve", "of": sale, "who": "ana", "why": "they say so",
            "from": "unresolved", "to": "succeeded",
        },
    ]  # fmt: skip
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
