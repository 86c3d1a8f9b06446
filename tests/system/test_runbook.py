"""Nights of the runbook, really had: its own commands show the symptom, and mend it."""

import asyncio
import contextlib
import os
import re
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.bus.lanes import Lanes
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.runtime.background import end
from shared.runtime.redis import Client
from tests.chaos.faults import children_of, limit_files
from tests.runbook import sections
from tests.system.stack import Stack, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.settings(SANDBOX_LATENCY="20")]
SECTIONS = sections()
Done = subprocess.CompletedProcess[str]


async def follow(stack: Stack, lines: list[str], **known: str) -> list[Done]:
    """Type what the runbook says, with what the operator knows put in."""
    done = []
    for line in lines:
        typed = re.sub(r"\$([A-Z_]+)", lambda found: known[found[1]], line)
        done.append(await asyncio.to_thread(stack.topup, *shlex.split(typed)[1:]))
    return done


def said(done: list[Done]) -> str:
    """Return all that was shown."""
    return "\n".join(one.stdout + one.stderr for one in done)


async def sold(stack: Stack, phone: str = "5566374100") -> str:
    """Return a topup that is booked to its end."""
    status, body = await stack.post(phone=phone)
    assert status == 202, body

    await until(lambda: is_booked(stack, body["topup_id"]))
    return str(body["topup_id"])


async def is_booked(stack: Stack, topup_id: str) -> bool:
    """Tell whether the books have its end."""
    shown = await asyncio.to_thread(stack.topup, "explain", topup_id)
    return " booked " in shown.stdout


async def test_a_lane_is_held(stack: Stack, redis: Client) -> None:
    """Seen in the list of lanes, released, and what waited is paid."""
    section = SECTIONS["a-lane-is-held"]
    topups = Topups(redis, partitions=1, window_ms=0)
    await Lanes(redis, topups).hold("LATCOM", act=act_by("test", why="maintenance"))
    status, body = await stack.post()
    assert status == 202
    assert "maintenance" in said(await follow(stack, section.look, LANE="LATCOM"))
    (released,) = await follow(stack, section.do, LANE="LATCOM")
    assert released.returncode == 0, released.stderr

    async def paid() -> bool:
        return bool((await stack.status_of(body["topup_id"]))["status"] == "succeeded")

    await until(paid)


@pytest.mark.parametrize(
    ("symptom", "gone", "part"),
    [("the-ledger-is-down", "ledger", "database"),
     ("the-limiter-is-degraded", "ratelimiter", "ratelimiter")],
)  # fmt: skip
async def test_a_service_is_gone(stack: Stack, symptom: str, gone: str, part: str) -> None:
    """Health says so, `topup ps` has it no more, and the last command brings it back."""

    async def is_well(wanted: bool) -> bool:
        _, health = await stack.get("/health")
        return bool((health["services"][part]["status"] == "healthy") is wanted)

    assert stack.topup("scale", f"{gone}=0").returncode == 0
    await until(lambda: is_well(wanted=False))
    looked = await follow(stack, SECTIONS[symptom].look)
    assert gone not in [line.split()[0] for line in looked[0].stdout.splitlines() if line.strip()]
    done = await follow(stack, SECTIONS[symptom].do)
    assert [one.returncode for one in done] == [0] * len(done), said(done)
    await until(lambda: is_well(wanted=True))


async def test_postgresql_is_full(stack: Stack) -> None:
    """Sales go on; looking shows what is away, and once there is room all is booked and whole."""
    section = SECTIONS["postgresql-is-down-or-full"]
    before = [await sold(stack) for _ in range(2)]

    async def is_well(wanted: bool) -> bool:
        _, health = await stack.get("/health")
        return bool((health["services"]["database"]["status"] == "healthy") is wanted)

    async with full(stack):
        status, body = await stack.post(phone="5566374101")
        assert status == 202, body
        await until(lambda: is_well(wanted=False))
        doctor, ledger = await follow(stack, section.look)
        assert doctor.returncode == 1
        assert "database" in doctor.stdout
        assert "database_lost" in ledger.stdout

        async def paid() -> bool:
            return bool((await stack.status_of(body["topup_id"]))["status"] == "succeeded")

        await until(paid)
    await until(lambda: is_well(wanted=True))
    await until(lambda: is_booked(stack, body["topup_id"]))
    (verified,) = await follow(stack, section.do)
    assert verified.returncode == 0, said([verified])
    assert [await is_booked(stack, one) for one in before] == [True, True]


@asynccontextmanager
async def full(stack: Stack) -> AsyncIterator[None]:
    """Let no file of PostgreSQL grow, whoever starts it again, until the block ends."""
    folder = stack.folder / "postgres"

    async def keep_full() -> None:
        while True:
            with contextlib.suppress(OSError, ValueError, IndexError, subprocess.SubprocessError):
                pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
                for one in [pid, *children_of(pid)]:
                    await asyncio.to_thread(limit_files, one, 0)
            await asyncio.sleep(0.05)

    keeping = asyncio.create_task(keep_full())
    try:
        yield
    finally:
        await end([keeping])


async def test_a_replica_flaps(stack: Stack) -> None:
    """`ps` counts its restarts, its last words are there, and the others sell meanwhile."""
    flapping = stack.ps("dispatcher")[0]["id"]

    def row() -> dict[str, Any]:
        (found,) = [one for one in stack.ps("dispatcher") if one["id"] == flapping]
        return dict(found)

    began = row()["restarts"]
    killed: set[int] = set()
    for _ in range(3):

        async def another_life() -> int | None:
            pid = (await asyncio.to_thread(row))["pid"]
            return None if pid in killed else pid

        pid = await until(another_life)
        killed.add(pid)
        os.kill(pid, signal.SIGKILL)
        assert (await stack.post(phone="5566374102"))[0] == 202
    ps, logs, doctor = await follow(stack, SECTIONS["a-replica-flaps"].look)
    restarts = row()["restarts"]
    assert restarts >= began + 2
    shown = [line.split() for line in ps.stdout.splitlines()]
    assert any({flapping, str(restarts)} <= set(line) for line in shown), ps.stdout
    assert (logs.returncode, flapping in logs.stdout) == (0, True)
    await until(lambda: is_ready(stack, flapping))
    assert await asyncio.to_thread(lambda: stack.topup("doctor").returncode) == 0, said([doctor])
    await sold(stack, "5566374103")


async def is_ready(stack: Stack, replica: str) -> bool:
    return [one["state"] for one in stack.ps() if one["id"] == replica] == ["ready"]


async def test_the_limiter_is_killed(stack: Stack) -> None:
    """While it hangs each gateway enforces its share; killed, it is there again by itself."""
    (limiter,) = stack.ps("ratelimiter")

    async def is_well(wanted: bool) -> bool:
        _, health = await stack.get("/health")
        return bool((health["services"]["ratelimiter"]["status"] == "healthy") is wanted)

    os.kill(limiter["pid"], signal.SIGSTOP)
    await until(lambda: is_well(wanted=False))
    assert (await stack.post(phone="5566374104"))[0] == 202
    ps, _doctor = await follow(stack, SECTIONS["the-limiter-is-degraded"].look)
    assert "ratelimiter" in ps.stdout
    os.kill(limiter["pid"], signal.SIGKILL)
    await until(lambda: is_well(wanted=True))
    (again,) = stack.ps("ratelimiter")
    assert again["pid"] != limiter["pid"]


async def test_valkey_refuses_writes(stack: Stack, redis: Client) -> None:
    """Health and doctor name it, with what to raise; nothing is accepted meanwhile."""
    before = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", 1)
    try:
        _, health = await stack.get("/health")
        assert "memory is full" in health["services"]["redis"]["problem"]
        assert (await stack.post())[0] == 503
        shown = said(await follow(stack, SECTIONS["valkey-refuses-writes"].look))
        assert "raise its maxmemory" in shown
    finally:
        await redis.config_set("maxmemory", before)
    assert (await stack.post())[0] == 202


async def test_money_is_unresolved(stack: Stack) -> None:
    """How much, which one, and each attempt of it; `tail` would go on until Ctrl-C."""
    topup = await sold(stack, "5566374904")
    look = [line for line in SECTIONS["money-is-unresolved"].look if " tail " not in line]
    done = await follow(stack, look, ID=topup)
    assert [one.returncode for one in done] == [0, 0], said(done)
    assert "quarantine until" in done[-1].stdout
    proposed, shown, alone = await follow(stack, SECTIONS["money-is-unresolved"].do, ID=topup)
    assert (proposed.returncode, shown.returncode) == (0, 0), proposed.stderr + shown.stderr
    assert "proposed as succeeded by admin: ticket 4711" in " ".join(shown.stdout.split())
    assert (alone.returncode, "another person must confirm it" in alone.stderr) == (2, True)


async def test_a_key_leaked(stack: Stack) -> None:
    """It stops, the customer stops and goes on, and has another one."""
    customer = stack.env["TOPUP_CUSTOMER_ID"]
    assert stack.topup("keys", "create", customer, "--label", "leaked").returncode == 0
    listed = stack.topup("keys", "list", customer).stdout
    (key,) = [line.split()[0] for line in listed.splitlines() if "leaked" in line]
    done = await follow(stack, SECTIONS["a-key-leaked"].do, KEY_ID=key, CUSTOMER=customer)
    assert [one.returncode for one in done] == [0] * 4, said(done)
    assert "leaked" not in stack.topup("keys", "list", customer).stdout

    async def works() -> bool:
        return (await stack.post())[0] == 202

    await until(works)


async def test_an_operators_key_leaked(stack: Stack) -> None:
    """What was done with it is shown, and was not tampered with; it stops, and another is drawn."""
    section = SECTIONS["an-operators-key-leaked"]
    assert stack.topup("operators", "add", "ana").returncode == 0
    done = await follow(stack, [*section.look, *section.do], NAME="ana")
    assert [one.returncode for one in done] == [0] * 5, said(done)
    assert "follow one another" in said(done)
    assert stack.topup("operators", "revoke", "ana", "--yes").returncode == 0


async def test_a_payment_is_disputed(stack: Stack, tmp_path: Path) -> None:
    """The story, books that are whole, and a file that verifies."""
    section = SECTIONS["a-payment-is-disputed"]
    topup = await sold(stack)
    do = [line.replace("sale.zip", str(tmp_path / "sale.zip")) for line in section.do]
    done = await follow(stack, [*section.look, *do], ID=topup)
    assert [one.returncode for one in done] == [0] * 4, said(done)


@pytest.mark.parametrize(
    "symptom",
    ["the-clocks-differ", "nothing-is-scraped", "conservation-is-broken", "the-audit-is-broken"],
)
async def test_where_nothing_is_wrong_each_look_says_so(stack: Stack, symptom: str) -> None:
    """Status 0: an operator who looks in vain knows that it is not this."""
    done = await follow(stack, SECTIONS[symptom].look, ID=await sold(stack))
    assert [one.returncode for one in done] == [0] * len(done), said(done)
