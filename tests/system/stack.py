"""`make run` as a test sees it: the whole of it up in a folder, driven over HTTP and by signals."""

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import aiohttp

from ops.ports import free_port
from tests.leaks import check_logs

ROOT = Path(__file__).parents[2]
READY_S_MAX = 90.0
TOPUP = Path(sys.executable).with_name("topup")
UNLIMITED = {"RATE_LIMIT_PER_MINUTE": "1000000"}


class Place(Protocol):
    """Where the keys of what runs are, and its public port."""

    folder: Path
    port: int


class Stack:
    """One `topup up`, its demo merchant, and its sandbox's book."""

    def __init__(self, place: "Place") -> None:
        self.folder = place.folder
        self.url = f"http://127.0.0.1:{place.port}"
        self.env = _read_env(place.folder / "demo.env")
        self._settled_before = 0
        self.session = aiohttp.ClientSession(connector=self._connector())

    async def __aenter__(self) -> Self:
        """What earlier tests made here does not count."""
        self._settled_before = settled(await self.queue())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    def _connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=0, force_close=True)

    def ps(self, service: str | None = None) -> list[dict[str, Any]]:
        """Return what `topup ps --json` says, of one service or of all."""
        rows = json.loads(self.topup("ps", "--json").stdout)
        return [row for row in rows if service in (None, row["service"])]

    @cached_property
    def provider(self) -> str:
        """The sandbox's own address."""
        return f"http://127.0.0.1:{self.ps('sandbox')[0]['port']}"

    def topup(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a `topup` command against this stack."""
        return subprocess.run(
            [TOPUP, *words],
            env={**os.environ, "TOPUP_DATA_DIR": str(self.folder), **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    async def post(
        self,
        *,
        phone: str = "5566374683",
        amount: object = 10,
        provider: str = "LATCOM",
        key: str | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, Any]]:
        """Make one topup; return the status and the body."""
        async with self.session.post(
            f"{self.url}/api/enviadespensa/topup",
            json={"phone": phone, "amount": amount, "provider": provider},
            headers={
                "x-api-key": self.env["TOPUP_API_KEY"],
                "x-customer-id": self.env["TOPUP_CUSTOMER_ID"],
                **({"idempotency-key": key} if key else {}),
                **headers,
            },
        ) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
        """Ask the gateways; admin and merchant keys both go along."""
        async with self.session.get(
            self.url + path,
            headers={
                "x-api-key": self.env["TOPUP_API_KEY"],
                "x-admin-key": self.env["TOPUP_ADMIN_KEY"],
                **headers,
            },
        ) as answer:
            return answer.status, await answer.json()

    async def status_of(self, topup_id: str) -> dict[str, Any]:
        """Return the topup as its merchant sees it."""
        _, body = await self.get(f"/api/enviadespensa/topups/{topup_id}")
        return body

    async def queue(self) -> dict[str, Any]:
        """Return queue-stats."""
        return (await self.get("/api/admin/queue-stats"))[1]

    async def book(self, reference: str = "") -> dict[str, Any]:
        """Return the sandbox's own book, or what it says of one reference."""
        path = f"/book/{reference}" if reference else "/book"
        async with self.session.get(self.provider + path) as answer:
            body: dict[str, Any] = await answer.json()
            return body

    async def fill_wallet(self, amount: int) -> None:
        """Let the sandbox's wallet, from which numbers on 907 are paid, hold so much."""
        url = f"{self.provider}/wallet"
        async with self.session.post(url, json={"amount": amount}) as answer:
            assert answer.status == 200, await answer.text()

    async def until_settled(self, count: int, *, within_s: float = 30) -> dict[str, Any]:
        """Wait until so many topups have ended, and nothing is open."""

        async def all_settled() -> dict[str, Any] | None:
            stats = await self.queue()
            is_open = stats["waiting"] + stats["active"] + stats["delayed"]
            enough = settled(stats) - self._settled_before >= count
            return stats if enough and not is_open else None

        found: dict[str, Any] = await until(all_settled, within_s=within_s)
        return found


def settled(stats: dict[str, Any]) -> int:
    """Return how many topups have ended, by queue-stats."""
    ended: int = stats["completed"] + stats["failed"] + stats["unresolved"]
    return ended


async def until(
    look: Callable[[], Awaitable[Any]], *, within_s: float = 30, each_s: float = 0.05
) -> Any:
    """Look again and again until something true is seen; return it."""
    deadline = time.monotonic() + within_s
    while True:
        seen = await look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not seen within {within_s} s; last: {seen!r}"
        await asyncio.sleep(each_s)


async def accept(stack: Stack, count: int, *, patient: bool = True) -> list[str]:
    """Make topups, each with a key and, if patient, until it is accepted, as a merchant would."""

    batch = secrets.token_hex(4)

    async def one(number: int) -> str:
        while True:
            try:
                status, body = await stack.post(key=f"order-{batch}-{number}")
            except (OSError, aiohttp.ClientError):
                status, body = 0, {}
            if status in (200, 202):
                return str(body["topup_id"])
            assert patient, f"answered {status} {body}"
            await asyncio.sleep(0.1)

    return await asyncio.gather(*(one(number) for number in range(count)))


@asynccontextmanager
async def flowing(stack: Stack, *, merchants: int = 4) -> AsyncIterator[list[str]]:
    """Sell without a pause for as long as the block lasts; yield the ids as they are accepted.

    Each request has a connection of its own and is made once: the first that is not accepted fails.
    """
    topups: list[str] = []
    ended = asyncio.Event()

    async def sell() -> None:
        while not ended.is_set():
            status, body = await stack.post()
            assert status == 202, f"answered {status} {body}"
            topups.append(body["topup_id"])

    selling = [asyncio.create_task(sell()) for _ in range(merchants)]
    try:
        yield topups
    finally:
        ended.set()
        await asyncio.gather(*selling)


async def check_books(stack: Stack, topups: list[str]) -> dict[str, int]:
    """Compare what merchants are told with what the provider paid; return the states."""
    states: dict[str, int] = {}
    told_of = await asyncio.gather(*map(stack.status_of, topups))
    book_of = await asyncio.gather(*map(stack.book, topups))
    for topup_id, answer, book in zip(topups, told_of, book_of, strict=True):
        told, paid = answer["status"], book.get("paid", 0)
        states[told] = states.get(told, 0) + 1
        assert paid <= 1, f"{topup_id} was paid {paid} times"
        assert not (told == "succeeded" and not paid), f"{topup_id} was told paid, and was not"
        assert not (told == "failed" and paid), f"{topup_id} was told failed, and was paid"
    return states


class Running:
    """A `topup up` in a folder of its own."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder, self.port = folder, free_port()
        output = folder.with_suffix(".out")
        environ = {"TOPUP_DATA_DIR": str(folder), "PORT": str(self.port), **settings}
        with output.open("wb") as out:
            self.process = subprocess.Popen(
                [TOPUP, "up"], cwd=ROOT, env={**os.environ, **environ}, stdout=out, stderr=out
            )
        try:
            self._wait_until_up(output)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def stop(self) -> None:
        """Drain it, and insist that it ends, and that its logs tell no secret."""
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(90) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        check_logs(self.folder)

    def _wait_until_up(self, output: Path) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while not self._answers():
            assert self.process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, f"not up after {READY_S_MAX} s: {self._who_is()}"
            time.sleep(0.1)

    def _who_is(self) -> str:
        environ = {**os.environ, "TOPUP_DATA_DIR": str(self.folder)}
        done = subprocess.run(
            [TOPUP, "ps"], env=environ, check=False, capture_output=True, text=True
        )
        return done.stdout + done.stderr

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.2):
                return True
        except OSError:
            return False


def _read_env(path: Path) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {name.removeprefix("export ").strip(): value.strip("'\"") for name, value in pairs}
