"""`topup reconcile --propose`: what a statement shows is proposed, once, and settles nothing."""

import datetime as dt
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.contracts.states import State
from tests.integration.bus.bench import LANE, Bench
from tests.integration.gateway.house import House
from tests.integration.gateway.people import (
    People,
    booked_in_limbo,
    end_quarantine,
    sell,
    sell_into_limbo,
)

pytestmark = pytest.mark.integration

LAYOUT = """
window_minutes = 0
skew_minutes = 0
timezone = "{zone}"
[columns]
reference = ["id"]
amount = ["amount"]
date = ["date"]
"""


class Sold(msgspec.Struct):
    """One topup of each kind, and how the statement that has some of them is compared."""

    paid: str
    absent: str
    file: Path
    words: tuple[str, ...]


@pytest.fixture
async def sold(home: House, whole: str, bench: Bench, people: People, tmp_path: Path) -> Sold:
    """Two in limbo, of which the statement has the first; one that failed, and it has that too."""
    failed = await sell(home, whole, bench, State.FAILED)
    last = await sell(home, whole, bench, State.SUCCEEDED)
    paid = await sell_into_limbo(home, whole, bench)
    absent = await sell_into_limbo(home, whole, bench)
    for topup_id in (paid, absent):
        await booked_in_limbo(home, people, topup_id)
    await end_quarantine(bench.client, absent)
    now = dt.datetime.fromtimestamp(await bench.topups.now_ms() / 1_000, dt.UTC)
    file, layout = tmp_path / "statement.csv", tmp_path / "layout.toml"
    lines = [f"{one},10.00,{now.isoformat()}" for one in (paid, failed, last)]
    file.write_text("\n".join(["id,amount,date", *lines]))
    zone = f"Etc/GMT{now.hour - 12:+d}"  # where it is about noon
    layout.write_text(LAYOUT.format(zone=zone))
    day = (now - dt.timedelta(hours=now.hour - 12)).date()
    words = ("reconcile", "--provider", LANE, "--day", day.isoformat(), "--propose",
             "--file", str(file), "--layout", str(layout))  # fmt: skip
    return Sold(paid, absent, file, words)


async def proposals(people: People, topup_id: str) -> list[dict[str, Any]]:
    """Return what was proposed of it."""
    found = (await people.ask("ben", "GET", f"unresolved/{topup_id}")).json
    return list(found["proposals"])


async def test_what_a_statement_shows_is_proposed_once(
    home: House, whole: str, people: People, sold: Sold
) -> None:
    """In the name of who types, with file, digest and row; failed stays; again proposes nothing."""
    looked = await people.type(*sold.words, "--dry-run")
    assert "would propose the end of 2 unresolved topups" in looked
    assert "1 were paid though we said failed" in looked
    assert await proposals(people, sold.paid) == []
    assert "say --yes to do it" in await people.type(*sold.words, status=2)
    assert "2 proposed" in await people.type(*sold.words, "--yes")
    (yes,), (no,) = await proposals(people, sold.paid), await proposals(people, sold.absent)
    assert (yes["to"], yes["maker"], yes["state"]) == ("succeeded", "ana", "proposed")
    assert (no["to"], no["maker"], no["state"]) == ("failed", "ana", "proposed")
    digest = sha256(sold.file.read_bytes()).hexdigest()
    assert f"statement {sold.file.name} of " in yes["evidence"]
    assert ", row 2, " in yes["evidence"]
    assert digest in yes["evidence"]
    assert "has no line of it" in no["evidence"]
    assert digest in no["evidence"]
    await people.ask("ben", "POST", f"unresolved/{sold.absent}/withdraw",
                     proposal=no["id"], reason="look again")  # fmt: skip
    again = json.loads(await people.type(*sold.words, "--yes", "--json"))["proposing"]
    assert [one["stands"] for one in again] == ["left alone", "left alone"]
    whys = {one["topup_id"]: one["why"] for one in again}
    assert whys[sold.paid] == "proposed as succeeded by ana"
    assert "withdrawn by ben" in whys[sold.absent]
    assert len(await proposals(people, sold.absent)) == 1
    await people.ask("ben", "POST", f"unresolved/{sold.paid}/confirm", proposal=yes["id"])
    assert (await home.show(whole, sold.paid)).json["status"] == "succeeded"


async def test_what_only_proposing_takes_is_refused_without_it(people: People) -> None:
    """Before any file is read."""
    words = ("reconcile", "--provider", LANE, "--file", "none.csv", "--day", "2026-11-23")
    assert "go with --propose" in await people.type(*words, "--dry-run", status=2)
