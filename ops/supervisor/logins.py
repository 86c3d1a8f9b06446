"""A password for each service, drawn at the first run, and its user at the servers that are ours.

A server that the user names is left as it is: `topup migrate` makes the users there.
"""

import secrets
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from ops.connections import setting
from ops.servers.server import Server
from ops.supervisor.folder import Folder, write_private
from services.ledger.logins import LEDGER_ROLE
from shared.bus.rights import RIGHTS, user_of

LIMITER: Final = "ratelimiter"


class Logins(Struct, frozen=True):
    """The passwords by service, and for those that are drawn here the files that hold them."""

    passwords: dict[str, str]
    files: dict[str, dict[str, str]]
    """By service: its variable, and the file."""

    @property
    def of_limits(self) -> dict[str, str]:
        """Who may log in where the limits are: nobody else is asked for there."""
        return {LIMITER: self.passwords[LIMITER]}

    def told(self, servers: Mapping[str, Server]) -> dict[str, dict[str, str]]:
        """Return where each service is served as itself, and where its password is."""
        told = {service: dict(files) for service, files in self.files.items()}
        for service, variable, server, user in _users():
            if server in servers:
                told[service][variable] = _as_user(servers[server], user)
        return told


def draw_logins(folder: Folder, environ: Mapping[str, str]) -> Logins:
    """Return the passwords: those of the environment, else of the first run, else new ones."""
    passwords: dict[str, str] = {}
    files: dict[str, dict[str, str]] = {}
    for service in RIGHTS:
        variable, path = f"{service.upper()}_PASSWORD", folder.password(service)
        given = setting(variable, environ)
        if given is None and not path.exists():
            write_private(path, secrets.token_urlsafe(24))
        files[service] = {} if given else {f"{variable}_FILE": str(path)}
        passwords[service] = given or path.read_text()
    return Logins(passwords, files)


def _users() -> Iterator[tuple[str, str, str, str]]:
    """Yield service, variable, server and user."""
    for service in RIGHTS:
        yield service, "REDIS_URL", "valkey", user_of(service)
    yield LIMITER, "LIMITER_REDIS_URL", "valkey-limits", user_of(LIMITER)
    yield "ledger", "DATABASE_URL", "postgres", LEDGER_ROLE


def _as_user(server: Server, user: str) -> str:
    scheme, _, rest = server.url.partition("://")
    return f"{scheme}://{user}@{rest.rpartition('@')[2]}"
