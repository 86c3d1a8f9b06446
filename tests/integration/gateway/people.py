"""Two people who operate, by name: over HTTP, and by what they type; and what is stuck for them."""

import asyncio
import json
import os
import sys
from typing import Any

from shared.bus.messages import Outcome
from shared.contracts.keys import OPERATOR_PREFIX, draw_key
from shared.contracts.states import State
from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client
from tests.integration.bus.bench import LANE, Bench
from tests.integration.gateway.house import Answer, House

NAMES = ("ana", "ben")
RUN = "from ops.cli import main; main()"


class People:
    """Two operators at one gateway, who ask over HTTP and type commands."""

    def __init__(self, home: House, gateway: str, database_url: str) -> None:
        self.keys = {name: draw_key(OPERATOR_PREFIX) for name in NAMES}
        self._home = home
        self._gateway = gateway
        self._database_url = database_url

    async def ask(self, name: str, method: str, path: str, **body: Any) -> Answer:
        """Ask the admin API as this person; an act has a body. It is done."""
        answer = await self._home.ask(
            method,
            f"{self._gateway}/api/admin/{path}",
            headers={"x-admin-key": self.keys[name]},
            **({"json": body} if body else {}),
        )
        assert answer.status == 200, answer.body
        return answer

    async def settle(self, topup_id: str, **proposed: Any) -> None:
        """Let ben confirm what ana proposes."""
        place = f"unresolved/{topup_id}"
        made = (await self.ask("ana", "POST", f"{place}/propose", **proposed)).json["proposal"]
        await self.ask("ben", "POST", f"{place}/confirm", proposal=made["id"])

    async def type(self, *words: str, status: int = 0) -> str:
        """Return what `topup` prints to ana, with what it complains of."""
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
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await typed.communicate()
        assert typed.returncode == status, out
        return out.decode()

    async def acts(self) -> list[dict[str, Any]]:
        """Return what the audit has, oldest first."""
        listed = json.loads(await self.type("audit", "list", "--limit", "1000", "--json"))
        return list(reversed(listed))


async def sell(home: House, gateway: str, bench: Bench, to: State) -> str:
    """Sell something that ends so; return its id."""
    topup_id = str((await home.post(gateway)).json["topup_id"])
    await bench.topups.prepare(LANE)
    await bench.deliver("d")
    await bench.begin(topup_id, "d", "n1")
    end = Outcome(
        id=topup_id, key_hash="", nonce="n1", to=to, reason="", provider_reference="", evidence=b""
    )
    assert await bench.topups.finish(0, LANE, [end], terms=bench.terms) == [("ok", to)]
    return topup_id


async def sell_into_limbo(home: House, gateway: str, bench: Bench) -> str:
    """Sell something whose answer is lost; return its id."""
    return await sell(home, gateway, bench, State.UNRESOLVED)


async def booked_in_limbo(home: House, people: People, topup_id: str) -> None:
    """Wait until people can be told of it."""

    async def booked() -> bool:
        found = (await people.ask("ana", "GET", "unresolved?order=newest&limit=1000")).json
        return topup_id in [one["topup_id"] for one in found["topups"]]

    await home.until(booked)


async def end_quarantine(redis: Client, topup_id: str) -> None:
    """Let it be over, so that a no of now counts."""
    await redis.hset(PartitionKeys(0).record(topup_id), "quarantine_until", "1")
