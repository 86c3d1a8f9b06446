"""What an operator sees of a running system: status, tail and explain, from real commands."""

import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.bus.lanes import Lanes
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.runtime.redis import Client, connect
from tests.system.stack import TOPUP, Stack, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.settings(SANDBOX_LATENCY="20", LATCOM_TIMEOUT="2s", STALL="3s"),
]
AWAY = {
    "redis": {"REDIS_URL": "redis://127.0.0.1:1/0"},
    "database": {"DATABASE_URL": "postgresql://127.0.0.1:1/topup"},
}


async def run(stack: Stack, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(stack.topup, *words, **environ)


async def said(stack: Stack, *words: str) -> Any:
    """Return what a command says with --json."""
    done = await run(stack, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@asynccontextmanager
async def redis_of(stack: Stack) -> AsyncIterator[Client]:
    state = json.loads((stack.folder / "state.json").read_text())
    client = connect(state["environment"]["REDIS_URL"])
    yield client
    await client.aclose()


@asynccontextmanager
async def held_lane(stack: Stack) -> AsyncIterator[Client]:
    """Nothing of the lane starts for as long as the block lasts."""
    async with redis_of(stack) as client:
        topups = Topups(client, partitions=1, window_ms=0)
        await Lanes(client, topups).hold("LATCOM", act=act_by("test", why="no_money"))
        try:
            yield client
        finally:
            await Lanes(client, topups).release("LATCOM", act=act_by("test", why=""))


@contextmanager
def tailing(stack: Stack, *words: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [TOPUP, "tail", *words],
        env={**os.environ, "TOPUP_DATA_DIR": str(stack.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def events(
    process: "subprocess.Popen[str]", topups: list[str], count: int
) -> list[dict[str, Any]]:
    """Return the next events of these topups from a tail with --json."""

    def read() -> list[dict[str, Any]]:
        assert process.stdout is not None
        told = map(json.loads, process.stdout)
        return list(itertools.islice((one for one in told if one["topup_id"] in topups), count))

    return await asyncio.wait_for(asyncio.to_thread(read), 30)


async def sell(stack: Stack, *phones: str) -> list[str]:
    """Make a topup for each phone, one after the other."""
    answers = [await stack.post(phone=f"5566374{end}") for end in phones]
    assert [status for status, _ in answers] == [202] * len(phones)
    return [body["topup_id"] for _, body in answers]


# -- status ----------------------------------------------------------------------------------


async def test_status_shows_where_topups_and_money_are(stack: Stack) -> None:
    """Queue, lanes, sales of today and ever, limbo with its age, replicas, durability."""
    before = await said(stack, "status")
    await sell(stack, "100", "100", "901", "904")
    await stack.until_settled(4)

    async def booked() -> Any:
        shown = await said(stack, "status")
        return shown if shown["unresolved"] != before["unresolved"] else None

    now = await until(booked)
    queue = {name: now["queue"][name] - before["queue"][name] for name in now["queue"]}
    assert queue == {
        "waiting": 0, "active": 0, "delayed": 0,
        "completed": 2, "failed": 1, "unresolved": 1, "total": 4,
    }  # fmt: skip
    assert now["lanes"]["LATCOM"]["state"] == "open"
    assert now["lanes"]["LATCOM"]["served"] is True
    for figure in ("today", "revenue"):
        assert now[figure]["transactions"] - before[figure]["transactions"] == 2
    assert now["unresolved"]["volume"] == {"MXN": f"{10 * now['unresolved']['transactions']}.00"}
    assert now["unresolved"]["oldest_seconds"] is not None
    at_work = [(one["service"], one["concurrency"], one["alive"]) for one in now["instances"]]
    assert at_work.count(("dispatcher", 20, True)) == 3
    assert at_work.count(("gateway", 0, True)) == 3
    assert now["durability"] == "fsync"
    assert now["unknown"] == {}

    screen = (await run(stack, "status")).stdout
    assert max(map(len, screen.splitlines())) <= 80
    assert "every answered write is on disk" in screen
    assert "oldest" in screen.split("In limbo")[1]


async def test_status_shows_why_a_lane_waits_and_for_how_long(stack: Stack) -> None:
    """A held lane with its reason; what nobody takes is counted and grows old."""
    async with held_lane(stack):

        async def old() -> Any:
            await sell(stack, "100")
            lane = (await said(stack, "status"))["lanes"]["LATCOM"]
            return lane if lane["oldest_waiting_seconds"] else None

        lane = await until(old)
        assert (lane["state"], lane["reason"]) == ("held", "no_money")
        assert lane["waiting"] > 0
        assert lane["since"] is not None
        assert "held because: no_money" in (await run(stack, "status")).stdout
    await stack.until_settled(1)


@pytest.mark.parametrize(("away", "there"), [("redis", "today"), ("database", "queue")])
async def test_status_shows_the_rest_when_a_server_is_away(
    stack: Stack, away: str, there: str
) -> None:
    """What is unknown is null and named, never nought; the exit status tells it too."""
    done = await run(stack, "status", "--json", **AWAY[away])
    shown = json.loads(done.stdout)
    assert done.returncode == 1
    assert list(shown["unknown"]) == [away]
    assert len(done.stderr.splitlines()) == 1
    assert {name for name, value in shown.items() if value is None} == (
        {"queue", "lanes", "instances", "durability"}
        if away == "redis"
        else {"today", "revenue", "unresolved"}
    )
    assert shown[there] is not None
    assert "unknown" in (await run(stack, "status", **AWAY[away])).stdout


# -- tail ------------------------------------------------------------------------------------


async def test_tail_tells_of_each_topup_as_it_happens(stack: Stack) -> None:
    """Accepted and settled, phones masked; Ctrl-C ends it without a traceback."""
    with tailing(stack, "--json", "--since", "1m") as tail:
        paid, refused = await sell(stack, "100", "901")
        told = await events(tail, [paid, refused], 4)
        tail.send_signal(signal.SIGINT)
        _, errors = await asyncio.to_thread(tail.communicate, None, 10)
    assert (tail.returncode, errors) == (130, "")
    history = {
        topup: [(one["event"], one["status"]) for one in told if one["topup_id"] == topup]
        for topup in (paid, refused)
    }
    assert history == {
        paid: [("accepted", "queued"), ("settled", "succeeded")],
        refused: [("accepted", "queued"), ("settled", "failed")],
    }
    assert {one["phone"] for one in told} == {"+52********00", "+52********01"}


async def test_tail_shows_only_what_is_asked_for(stack: Stack) -> None:
    """Filters combine; a customer who sold nothing has no events."""
    mine = ["--customer", "ENVIADESPENSA_001", "--provider", "LATCOM", "--status", "failed"]
    paid, refused = await sell(stack, "100", "901")
    with tailing(stack, "--json", "--since", "1m", *mine) as tail:
        (told,) = await events(tail, [paid, refused], 1)
    assert (told["topup_id"], told["reason"]) == (refused, "refused")
    with tailing(stack, "--since", "1m", "--customer", "NOBODY") as tail:
        with pytest.raises(subprocess.TimeoutExpired):
            await asyncio.to_thread(tail.communicate, None, 2)
        tail.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(tail.communicate, None, 10) == ("", "")


async def test_tail_goes_on_after_valkey_was_killed(stack: Stack) -> None:
    """From the last that it saw: what happened meanwhile is told, and nothing twice."""
    with tailing(stack, "--json", "--since", "1m") as tail:
        (first,) = await sell(stack, "100")
        seen = await events(tail, [first], 2)
        os.kill(stack.ps("valkey")[0]["pid"], signal.SIGKILL)

        async def accepted() -> Any:
            status, body = await stack.post(phone="5566374100")
            return body["topup_id"] if status == 202 else None

        second = await until(accepted)
        seen += await events(tail, [first, second], 2)
        tail.send_signal(signal.SIGINT)
        _, errors = await asyncio.to_thread(tail.communicate, None, 10)
    assert [one["topup_id"] for one in seen] == [first, first, second, second]
    assert "trying again" in errors
    assert tail.returncode == 130


async def test_tail_ends_with_whoever_reads_it(stack: Stack) -> None:
    """`| head -1` comes back, also when nothing more happens, and says nothing."""
    with tailing(stack, "--since", "1m") as tail:
        await sell(stack, "100")
        assert tail.stdout is not None
        await asyncio.to_thread(tail.stdout.readline)
        tail.stdout.close()
        assert await asyncio.to_thread(tail.wait, 10) == 141
        assert tail.stderr is not None
        assert tail.stderr.read() == ""


# -- explain ---------------------------------------------------------------------------------


async def told_to_the_end(stack: Stack, topup: str) -> Any:
    """Return the story once the books have its end."""

    async def booked() -> Any:
        story = await said(stack, "explain", topup)
        return story if any(one["event"] == "booked" for one in story["timeline"]) else None

    return await until(booked)


async def test_explain_tells_a_settled_topup_from_first_to_last(stack: Stack) -> None:
    """Accepted, sent, settled on masked evidence, booked; for people and for programs."""
    (topup,) = await sell(stack, "904")
    await stack.until_settled(1)
    story = await told_to_the_end(stack, topup)
    assert (story["status"], story["reason"], story["phone"]) == (
        "unresolved", "no_answer", "+52********04",
    )  # fmt: skip
    # The lane's last act before it is told as well, and other tests' are there.
    timeline = [one for one in story["timeline"] if not one["event"].startswith("lane.")]
    assert [one["event"] for one in timeline] == ["accepted", "first_sent", "unresolved", "booked"]
    times = [one["at"] for one in story["timeline"]]
    assert times == sorted(times)
    evidence = timeline[2]["detail"]
    assert (evidence["attempt"], evidence["by"].partition("-")[0]) == (1, "dispatcher")
    assert story["record"]["quarantine_until"] is not None
    moves = [(one["debit"], one["credit"], one["amount"]) for one in story["postings"]]
    assert moves == [("available", "held", "10.00"), ("held", "limbo", "10.00")]
    done = await run(stack, "explain", topup.upper())
    assert done.returncode == 0
    assert "5566374904" not in done.stdout
    for words in ("one send may have paid", "held → limbo", "unresolved"):
        assert words in done.stdout


async def test_explain_tells_each_attempt_with_the_providers_words(stack: Stack) -> None:
    """Refused twice as busy, then paid: three answers, all kept."""
    (topup,) = await sell(stack, "902")
    await stack.until_settled(1)
    story = await told_to_the_end(stack, topup)
    tries = [one["detail"] for one in story["timeline"] if one["event"] == "attempt"]
    assert [(one["attempt"], one["mode"], one["answer"]) for one in tries] == [
        (1, "send", "refused"),
        (2, "send", "refused"),
    ]
    assert all(one["raw"]["status"] == "Fail" and one["elapsed_ms"] >= 0 for one in tries)
    (paid,) = [one for one in story["timeline"] if one["event"] == "succeeded"]
    assert paid["detail"]["attempt"] == 3


async def test_explain_finds_it_by_what_somebody_has_in_hand(stack: Stack) -> None:
    """The merchant's reference, the provider's, the phone; of several, a list to choose from."""
    status, body = await stack.post(phone="5566370117", key="order-of-explain")
    assert status == 202
    await stack.until_settled(1)
    topup = body["topup_id"]
    story = await told_to_the_end(stack, topup)
    for which in ("order-of-explain", story["provider_reference"], "+52 55 6637 0117"):
        assert (await said(stack, "explain", which))["topup_id"] == topup
    status, again = await stack.post(phone="5566370117")
    assert status == 202
    await stack.until_settled(2)
    await told_to_the_end(stack, again["topup_id"])
    done = await run(stack, "explain", "5566370117")
    assert done.returncode == 2
    assert [line.split()[0] for line in done.stdout.splitlines()] == [again["topup_id"], topup]
    assert "name one by its id" in done.stderr


async def test_explain_works_with_what_one_server_has(stack: Stack) -> None:
    """No ledger, or long forgotten by Redis: the other still tells it, and what is missing."""
    assert stack.topup("scale", "ledger=0").returncode == 0
    try:
        async with held_lane(stack):
            (topup,) = await sell(stack, "100")
            done = await run(stack, "explain", topup, "--json")
    finally:
        assert stack.topup("scale", "ledger=1").returncode == 0
    waiting = json.loads(done.stdout)
    assert (done.returncode, waiting["status"], waiting["postings"]) == (1, "queued", [])
    assert waiting["timeline"][0]["event"] == "accepted"
    assert "books" in waiting["unknown"]
    await stack.until_settled(1)
    await told_to_the_end(stack, topup)
    async with redis_of(stack) as client:
        await client.delete(Topups(client, partitions=1, window_ms=0).keys[0].record(topup))
    forgotten = await said(stack, "explain", topup)
    assert (forgotten["status"], forgotten["record"]) == ("succeeded", None)


async def test_the_evidence_of_a_sale_is_made_and_verified(stack: Stack, tmp_path: Path) -> None:
    """By real commands, signed with the key that doctor names; a file is never overwritten."""
    (topup,) = await sell(stack, "100")
    await stack.until_settled(1)
    await told_to_the_end(stack, topup)
    file = str(tmp_path / "sale.zip")
    assert (await run(stack, "evidence", topup, "--to", file)).returncode == 0
    assert (tmp_path / "sale.zip").stat().st_mode & 0o777 == 0o600
    again = await run(stack, "evidence", topup, "--to", file)
    assert (again.returncode, len(again.stderr.splitlines())) == (2, 1)
    doctor = (await run(stack, "doctor")).stdout
    (key,) = re.findall(r"signed by the key ([0-9a-f]{64})", doctor)
    nowhere = {"TOPUP_DATA_DIR": str(tmp_path)}
    done = await run(stack, "evidence", "verify", file, "--key", key, **nowhere)
    assert done.returncode == 0, done.stdout
    other = await run(stack, "evidence", "verify", file, "--key", "0" * 64, **nowhere)
    assert other.returncode == 1
    assert (await run(stack, "evidence", "verify", __file__, **nowhere)).returncode == 2


# -- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "environ", "problem"),
    [
        (["status", "--watch"], {}, "--watch needs a terminal"),
        (["status", "now"], {}, "now"),
        (["status"], {"TIMEZONE": "Mars/Olympus"}, "TIMEZONE is 'Mars/Olympus'"),
        (["status"], {"REDIS_URL": "redis://127.0.0.1:port/0"}, "REDIS_URL has no host and port"),
        (["status"], {"DATABASE_URL": "mysql://somewhere/topup"}, "DATABASE_URL does not begin"),
        (["tail", "--since", "yesterday"], {}, "--since is 'yesterday', not a duration"),
        (["tail", "--status", "done"], {}, "--status 'done' is not one of queued, succeeded"),
        (["tail", "--provider", "TELCEL"], {}, "--provider 'TELCEL' is not one of LATCOM"),
        (["tail", "--customer", ""], {}, "is empty; for example"),
        (["explain"], {}, "WHAT"),
        (["explain", "no-such-order"], {}, "there is no topup 'no-such-order'"),
        (["explain", "0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"], {}, "there is no topup '0195f2c4"),
    ],
)
async def test_bad_input_is_one_line_with_an_example(
    stack: Stack, words: list[str], environ: dict[str, str], problem: str
) -> None:
    """Status 2, on standard error alone."""
    done = await run(stack, *words, **environ)
    assert done.returncode == 2
    assert done.stdout == ""
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1
