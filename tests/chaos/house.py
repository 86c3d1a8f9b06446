"""The system under attack: its servers, its provider, a link between any two parts, `topup up`."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from ops.embedded import Running
from ops.errors import CommandFailed
from ops.ports import free_port
from ops.supervisor.control import List, Request, Scale, ask
from ops.supervisor.folder import Folder, read_assignments
from ops.supervisor.replica import Row
from ops.valkey_cluster import ValkeyCluster
from tests.chaos.customers import open_accounts
from tests.chaos.links import Address, Link
from tests.chaos.schedule import LINKS
from tests.chaos.settings import DEADLINE_S, LATENCY_MS

ROOT: Final = Path(__file__).parents[2]
READY_S_MAX: Final = 120.0
END_S_MAX: Final = 120.0
PORT_S_MAX: Final = 0.5
FIRST: Final = "provider"
SECOND: Final = "second-provider"
PROVIDERS: Final = {"LATCOM": FIRST, "RELOADLY": SECOND}
"""Who stands behind each lane: a process and a book of its own."""
SETTINGS: Final = {
    "DATABASE_POOL_SIZE": "20",
    "DRAIN_TIMEOUT": "20s",
    "LATCOM_TIMEOUT": "2s",
    "LATCOM_TOKEN_LIFE": "30s",
    "LOG_LEVEL": "INFO",
    "RATE_LIMIT_PER_MINUTE": "1000000",
    "RELOADLY_TIMEOUT": "2s",
    "STALL": "3s",
}
"""Short where something is waited for, so that minutes hold as much as hours would."""
PARTITIONS: Final = 12
ON_A_CLUSTER: Final = {"STREAM_PARTITIONS": str(PARTITIONS), "REDIS_REPLICAS": "1"}
CUSTOMERS: Final = 60
"""Besides the demo's own; enough that every partition has one at least."""


class House:
    """Everything that a run attacks; `kinds` is what the provider can do: dedupes, inquiry.

    `two_lanes`: Reloadly's stand-in too. `direct`: no links; nobody stands between the parts, and
    nothing can be cut. `cluster`: the streams are on one, and many customers sell.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kinds: Sequence[str],
        latency: str = LATENCY_MS,
        deadline_s: float = float(DEADLINE_S),
        direct: bool = False,
        two_lanes: bool = False,
        cluster: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.servers: dict[str, Running] = {}
        self.cluster: ValkeyCluster | None = None
        self.api_keys: list[str] = []
        self.links: dict[str, Link] = {}
        self.public_port = free_port()
        self._modes = {f"SANDBOX_{kind.upper()}": "on" for kind in kinds}
        self._latency = latency
        self._deadline = f"{round(deadline_s * 1_000)}ms"
        self._direct = direct
        self._on_a_cluster = cluster
        self._settings = {**SETTINGS, **(ON_A_CLUSTER if cluster else {}), **(settings or {})}
        self._two_lanes = two_lanes
        self._providers = {
            name: {"PORT": str(free_port()), "SANDBOX_BOOK": str(folder / f"{name}.book")}
            for name in ((FIRST, SECOND) if two_lanes else (FIRST,))
        }
        self._access = {
            name: secrets.token_hex(8)
            for name in (
                "LATCOM_USERNAME", "LATCOM_PASSWORD", "LATCOM_DIST_API", "LATCOM_USER_UID",
                *(("RELOADLY_CLIENT_ID", "RELOADLY_CLIENT_SECRET") if two_lanes else ()),
            )
        }  # fmt: skip
        self.up = asyncio.Event()
        self.broken = False
        self._ports: dict[str, tuple[float, int]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        # one thread for all servers: the kernel ends each with the thread that started it
        self._thread = ThreadPoolExecutor(1)
        self.session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """Start everything and wait until topups are taken."""
        self.folder.mkdir(parents=True)
        self.orders.mkdir()
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        if self._on_a_cluster:
            self.cluster = await self.in_thread(partial(ValkeyCluster, self.folder / "valkey"))
        else:
            self.servers["valkey"] = await self.in_thread(
                partial(Running.valkey, self.folder / "valkey")
            )
        self.servers |= {
            "valkey-limits": await self.in_thread(
                partial(Running.valkey, self.folder / "limits", volatile=True)
            ),
            "postgres": await self.in_thread(partial(Running.postgres, self.folder / "postgres")),
        }
        for name, own in self._providers.items():
            self._start(name, "sandbox", {**own, "SANDBOX_LATENCY": self._latency})
        for name in () if self._direct else self._link_names():
            self.links[name] = Link(name, partial(self._upstream, name))
            await self.links[name].open()
        await self.start_supervisor()
        self.api_keys = [self.keys["TOPUP_API_KEY"]]
        if self.cluster is not None:
            self.api_keys += await open_accounts(
                self.servers["postgres"].url, self.streams_url, CUSTOMERS
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything: politely, but where it is broken, for that could take for ever."""
        for link in self.links.values():
            link.heal()
        for name in ("supervisor", *self._providers):
            await self.in_thread(partial(self._stop, name))
        for link in self.links.values():
            await link.close()
        for server in self._all_servers():
            await self.in_thread(server.kill if self.broken else server.stop)
        await self.session.close()
        self._thread.shutdown()

    @property
    def streams_url(self) -> str:
        """Where the streams are."""
        return self.cluster.url if self.cluster is not None else self.servers["valkey"].url

    @property
    def orders(self) -> Path:
        """Where replicas look for what they are to suffer."""
        return self.folder / "orders"

    # -- the supervisor ------------------------------------------------------------------------

    async def start_supervisor(self) -> None:
        """Start `topup up` and wait until its public port answers; as often as it takes.

        While its servers are away it ends with one line, as it should.
        """
        self.up.clear()
        self._start("supervisor", "tests.chaos.supervisor", self._environment())

        async def answers() -> bool:
            if self.supervisor().poll() is not None:
                self._start("supervisor", "tests.chaos.supervisor", self._environment())
            try:
                status, _ = await self.get("/health")
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                return False
            return status == 200

        await until(answers, within_s=READY_S_MAX)
        self.up.set()

    def own_processes(self) -> dict[str, int]:
        """Return the pids of the supervisor and of the providers."""
        return {name: process.pid for name, process in self._processes.items()}

    def supervisor(self) -> subprocess.Popen[bytes]:
        """Return the process."""
        return self._processes["supervisor"]

    async def replicas(self, service: str | None = None) -> list[Row]:
        """Return what runs; nothing while no supervisor does."""
        try:
            rows = await self._ask(List())
        except CommandFailed:
            return []
        return [row for row in rows if service in (None, row.service)]

    async def scale(self, service: str, count: int) -> None:
        """Ask for so many replicas."""
        await self._ask(Scale({service: count}))

    async def _ask(self, request: Request) -> list[Row]:
        return (await asyncio.to_thread(ask, self._data.socket, request)).rows

    async def heal(self) -> None:
        """Mend links and servers, and fill the providers' wallets."""
        for link in self.links.values():
            link.heal()
        for server in self._all_servers():
            if not server.lives():
                await self.in_thread(server.revive)
        await self.tell_providers("/wallet", {"amount": 100_000})

    # -- talking to it -------------------------------------------------------------------------

    @property
    def keys(self) -> Mapping[str, str]:
        """The demo merchant's and the admin's."""
        return read_assignments(self._data.demo)

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Ask the gateways directly, as merchant and admin at once."""
        headers = {
            "x-api-key": self.keys.get("TOPUP_API_KEY", ""),
            "x-admin-key": self.keys.get("TOPUP_ADMIN_KEY", ""),
        }
        url = f"http://127.0.0.1:{self.public_port}{path}"
        timeout = aiohttp.ClientTimeout(total=5)
        async with self.session.get(url, headers=headers, timeout=timeout) as answer:
            return answer.status, await answer.json(content_type=None)

    async def queue(self) -> dict[str, Any]:
        """Return queue-stats; nothing while nobody answers."""
        try:
            status, stats = await self.get("/api/admin/queue-stats")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return {}
        return stats if status == 200 else {}

    async def tell_providers(self, path: str, body: Mapping[str, Any]) -> None:
        """Change how the providers behave."""
        for name in self._providers:
            async with self.session.post(self._provider_url(name) + path, json=body) as answer:
                assert answer.status == 200, await answer.text()

    async def provider_books(self) -> dict[str, dict[str, Any]]:
        """Return what each provider really did, by the name of its lane."""
        return await self._ask_providers("/book")

    async def is_paid_twice(self) -> bool:
        """Tell whether a provider has paid anything twice, without reading its whole book."""
        totals = await self._ask_providers("/totals")
        return any(told["paid_twice"] for told in totals.values())

    async def _ask_providers(self, path: str) -> dict[str, dict[str, Any]]:
        found = {}
        for lane, name in PROVIDERS.items():
            if name in self._providers:
                async with self.session.get(self._provider_url(name) + path) as answer:
                    found[lane] = await answer.json(content_type=None)
        return found

    async def in_thread(self, act: Callable[[], Any]) -> Any:
        """Do something that blocks, on the thread that owns the servers."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)

    # -- how it is wired -----------------------------------------------------------------------

    def _provider_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._providers[name]['PORT']}"

    @property
    def _data(self) -> Folder:
        return Folder(self.folder / "topup")

    def _environment(self) -> dict[str, str]:
        return {
            **self._settings,
            **self._access,
            **self._modes,
            "DELIVER_BEFORE": self._deadline,
            "TOPUP_DATA_DIR": str(self._data.root),
            "PORT": str(self.public_port),
            "REDIS_URL": self.streams_url,
            "LIMITER_REDIS_URL": self.servers["valkey-limits"].url,
            "DATABASE_URL": self.servers["postgres"].url,
            **self._lanes(),
            "CHAOS_ORDERS": str(self.orders),
            "CHAOS_WAYS": json.dumps(
                [{} if self._direct else self._ways(side) for side in range(Link.sides)]
            ),
        }

    def _link_names(self) -> list[str]:
        return [
            link
            for link in LINKS
            if (self._two_lanes or not link.endswith(SECOND))
            and not (self.cluster is not None and link.endswith("-valkey"))
        ]

    def _all_servers(self) -> list[Running]:
        return [*self.servers.values(), *(self.cluster.nodes if self.cluster is not None else ())]

    def _lanes(self) -> dict[str, str]:
        ways = {"LATCOM_URL": self._through(f"dispatcher-{FIRST}", self._provider_url(FIRST))}
        if self._two_lanes:
            way = self._through(f"dispatcher-{SECOND}", self._provider_url(SECOND))
            ways |= {f"RELOADLY_{name}URL": f"{way}/reloadly" for name in ("", "AUTH_")}
        return ways | {"PROVIDERS_OFFERED": ",".join(PROVIDERS if self._two_lanes else ["LATCOM"])}

    def _ways(self, side: int) -> dict[str, dict[str, str]]:
        valkey, limits = self.streams_url, self.servers["valkey-limits"].url
        postgres, peer = self.servers["postgres"].url, "http://127.0.0.1"
        return {
            "gateway": {
                "REDIS_URL": self._through("gateway-valkey", valkey, side),
                "RATELIMITER_URL": self._through("gateway-ratelimiter", peer, side),
                "LEDGER_URL": self._through("gateway-ledger", peer, side),
            },
            "ratelimiter": {"LIMITER_REDIS_URL": self._through("ratelimiter-limits", limits, side)},
            "dispatcher": {"REDIS_URL": self._through("dispatcher-valkey", valkey, side)},
            "ledger": {
                "REDIS_URL": self._through("ledger-valkey", valkey, side),
                "DATABASE_URL": self._through("ledger-postgres", postgres, side),
            },
        }

    def _through(self, link: str, url: str, side: int = 0) -> str:
        """Return the URL with the port of a link's side in the place of the real one."""
        if link not in self.links:
            return url
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(
            parts._replace(netloc=f"{user}{at}127.0.0.1:{self.links[link].ports[side]}")
        )

    async def _upstream(self, link: str) -> Address:
        """Return where a link leads; services' ports are other ones after a restart."""
        match link.partition("-")[2]:
            case "gateway":
                return "127.0.0.1", self.public_port
            case provider if provider in self._providers:
                return "127.0.0.1", int(self._providers[provider]["PORT"])
            case "valkey" | "postgres" | "limits" as server:
                name = "valkey-limits" if server == "limits" else server
                return "127.0.0.1", urlsplit(self.servers[name].url).port or 0
            case service:
                return "127.0.0.1", await self._port_of(service)

    async def _port_of(self, service: str) -> int:
        """Return a service's port, as of a moment ago: another supervisor draws another one."""
        seen, port = self._ports.get(service, (float("-inf"), 0))
        if time.monotonic() - seen > PORT_S_MAX:
            rows = await self.replicas(service)
            port = rows[0].port or 0 if rows else 0
            self._ports[service] = time.monotonic(), port
        if not port:
            raise ConnectionRefusedError(service)
        return port

    def _start(self, name: str, module: str, environ: Mapping[str, str]) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT,
                env={**os.environ, **self._access, **self._modes, **SETTINGS, **environ},
                stdout=out,
                stderr=out,
            )

    def _stop(self, name: str) -> None:
        process = self._processes.get(name)
        if process is None or process.poll() is not None:
            return
        if not self.broken:
            process.terminate()
        try:
            process.wait(0 if self.broken else END_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def until(
    look: Callable[[], Awaitable[bool]], *, within_s: float, each_s: float = 0.1
) -> None:
    """Look again and again until it is true.

    Raises:
        TimeoutError: it was not within the time.
    """
    async with asyncio.timeout(within_s):
        while not await look():  # noqa: ASYNC110 - what is looked at is another process
            await asyncio.sleep(each_s)
