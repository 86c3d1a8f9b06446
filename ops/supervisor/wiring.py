"""Who is reached where: the user's own servers where they are named, else the embedded ones."""

import secrets
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from ops.connections import setting
from ops.ports import free_port
from ops.servers import postgres, valkey
from ops.servers.server import Server
from ops.supervisor.demo import Demo, evidence_key
from ops.supervisor.folder import Folder
from ops.supervisor.logins import Logins, draw_logins
from ops.supervisor.plan import HOST, Plan, given
from shared.bus.rights import configured
from shared.contracts.access import ACCESS, set_up
from shared.runtime.addresses import CLUSTER


class Wiring(Struct, frozen=True, kw_only=True):
    """The embedded servers, the ports, and every address and secret by its variable."""

    servers: dict[str, Server]
    ports: dict[str, int]
    variables: dict[str, str]
    own: dict[str, dict[str, str]]
    """Of one service alone: what it is told otherwise than all others."""
    instance_ports: dict[str, int] = {}
    """Where it must be a certain one; else each replica draws its own."""
    place: str | None = None
    """What tells these replicas from those of other supervisors; None numbers them."""


def wire(
    plan: Plan, folder: Folder, environ: Mapping[str, str], *, demo: Demo, public_port: int
) -> Wiring:
    """Prepare the servers that are needed, and name everything."""
    logins = draw_logins(folder, environ)
    servers = _servers(folder.root, environ, logins)
    ports = {s.name: free_port() for s in plan.services if s.port == "shared"}
    ports |= {s.name: public_port for s in plan.services if s.port == "public"}
    variables = {
        "ADMIN_KEY": demo.admin_key,
        "SESSION_KEY": secrets.token_urlsafe(32),
        "EVIDENCE_KEY": evidence_key(folder),
        "PROVIDERS_OFFERED": ",".join(set_up(partial(given, environ=environ))),
    }
    if "sandbox" in ports:
        variables |= _sandbox_access(f"http://{HOST}:{ports['sandbox']}")
    for variable, server in _SERVED.items():
        if server in servers:
            variables[variable] = servers[server].url
    for variable, service in ANSWERED.items():
        if service in ports:
            variables[variable] = f"http://{HOST}:{ports[service]}"
    if "postgres" in servers:
        variables |= logins.files["ledger"]  # the migrations let it log in
    return Wiring(servers=servers, ports=ports, variables=variables, own=logins.told(servers))


_SERVED = {
    "REDIS_URL": "valkey",
    "LIMITER_REDIS_URL": "valkey-limits",
    "DATABASE_URL": "postgres",
}
ANSWERED: Final = {"RATELIMITER_URL": "ratelimiter", "LEDGER_URL": "ledger"}


def _sandbox_access(url: str) -> dict[str, str]:
    """Return the way to all lanes where the sandbox stands for every provider."""
    logins = {
        name: secrets.token_urlsafe(12) for access in ACCESS.values() for name in access.login
    }
    return logins | {
        "PROVIDERS_OFFERED": ",".join(ACCESS),
        "LATCOM_URL": url,
        "RELOADLY_URL": f"{url}/reloadly",
        "RELOADLY_AUTH_URL": f"{url}/reloadly",
        "DTONE_URL": f"{url}/dtone",
        "DTONE_PRODUCT_ID": "20153",
    }


def _servers(root: Path, environ: Mapping[str, str], logins: Logins) -> dict[str, Server]:
    servers: list[Server] = []
    if not given("REDIS_URL", environ):
        users = configured(logins.passwords)
        servers.append(_valkey(root / "valkey", valkey.DURABLE, users))
    streams = setting("REDIS_URL", environ)
    holds_limits = streams is not None and f"{CLUSTER}://" not in streams
    if not holds_limits and not given("LIMITER_REDIS_URL", environ):
        users = configured(logins.of_limits)
        servers.append(_valkey(root / "valkey-limits", valkey.VOLATILE, users))
    if not given("DATABASE_URL", environ):
        servers.append(
            postgres.prepare(
                root / "postgres",
                port=free_port(),
                secrets=root / "postgres.password",
                parent_gone=None,
            )
        )
    return {server.name: server for server in servers}


def _valkey(folder: Path, keeps: str, users: str) -> Server:
    """The keeper ends it, not the death of its parent: draining services still need it."""
    return valkey.prepare(
        folder,
        name=folder.name,
        port=free_port(),
        password=secrets.token_urlsafe(24),
        keeps=keeps,
        users=users,
        parent_gone=None,
    )
